"""The spec of a training process, and the learning rate it describes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model.training.engine import learning_rate
from clara_model.training.spec import StagePart, TrainSpec

MakeSpec = Callable[..., TrainSpec]


def test_a_spec_survives_its_file(make_spec: MakeSpec) -> None:
    spec = make_spec("stage3", world_share=0.25)
    assert TrainSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    "change",
    [{"work": Path("/elsewhere")}, {"num_processes": 2}, {"zero_stage": 1}, {"resume": "restart"},
     {"training": {"checkpoint_every": 3}}, {"training": {"micro_batch_size": 1}}],
    ids=str,
)  # fmt: skip
def test_places_and_how_memory_is_saved_do_not_change_the_identity(
    make_spec: MakeSpec, change: dict
) -> None:
    assert make_spec("stage1").identity == make_spec("stage1", **change).identity


def test_settings_go_by_the_keys_of_the_configuration(make_spec: MakeSpec) -> None:
    settings = make_spec("stage2", world_share=0.5).settings
    assert settings["training.stage2.batch_size"] == 4
    assert settings["model.lora_r"] == 2
    assert settings["training.world.share"] == 0.5
    assert settings["training.precision"] == "fp32"


@pytest.mark.parametrize(
    "change",
    [{"inputs_hash": "x"}, {"precision": "bf16"}, {"world_share": 0.1}, {"training": {"seed": 1}},
     {"model": {"lora_dropout": 0.0}}],
    ids=str,
)  # fmt: skip
def test_what_decides_the_result_changes_the_identity(make_spec: MakeSpec, change: dict) -> None:
    assert make_spec("stage1").identity != make_spec("stage1", **change).identity


def test_reading_a_spec_needs_no_torch() -> None:
    code = "import sys, clara_model.training.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _rates(schedule: str, warmup: float) -> list[float]:
    part = StagePart(
        batch_size=1, learning_rate=1.0, schedule=schedule, warmup_ratio=warmup  # type: ignore[arg-type]
    )  # fmt: skip
    return [learning_rate(part, step, 10) for step in range(10)]


def test_warm_up_rises_to_the_peak() -> None:
    assert _rates("constant", 0.3) == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 7)


def test_linear_falls_evenly() -> None:
    assert _rates("linear", 0.0) == pytest.approx([1 - i / 10 for i in range(10)])


def test_cosine_is_half_way_in_the_middle() -> None:
    rates = _rates("cosine", 0.0)
    assert rates[0] == 1.0
    assert rates[5] == pytest.approx(0.5)
    assert rates == sorted(rates, reverse=True)
