"""What must not change a step: padding, order, cutting into micro-batches, stored memories, ranks.

All of it is the same arithmetic in another order: losses and gradient norms agree to 1e-5 of their
size. AdamW's first step moves a weight by the rate (5e-3 here) whatever its gradient's size, which
magnifies rounding in the smallest gradients: weights agree to 5e-4, a tenth of the rate (seen: up
to 5e-6).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from ports import free_port
from safetensors.torch import load_file

from clara_model import Clara
from clara_model.training import trainer as trainer_module
from clara_model.training.engine import Ranks
from clara_model.training.metrics import read_metrics
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[3]
STAGES = ["stage1", "stage2", "stage3"]
RATE = 5e-3

Outcome = tuple[dict[str, float], dict[str, torch.Tensor]]
StepSpec = Callable[..., TrainSpec]


@pytest.fixture
def start(tiny_base, tiny_config, tmp_path: Path) -> Path:
    """A checkpoint whose adapters act, so that all of their weights have gradients."""
    model = Clara.from_base(tiny_base(), tiny_config(lora_dropout=0.0))
    generator = torch.Generator().manual_seed(1)
    for name in model.adapters.names:
        for key, parameter in model.adapters.parameters(name):
            if "lora_B" in key:
                parameter.data.normal_(std=0.3, generator=generator)
    model.save_pretrained(tmp_path / "start")
    return tmp_path / "start"


@pytest.fixture
def step_spec(make_spec: StepSpec, start: Path, tmp_path: Path) -> StepSpec:
    """Specs of one step over all six rows, each with folders of its own."""

    def build(stage: str, name: str, *, training: dict | None = None, **options) -> TrainSpec:
        places = {part: tmp_path / name / part for part in ("work", "logs")}
        once = {"steps": 1, "batch_size": 6, "micro_batch_size": 6}
        return make_spec(
            stage,
            training=once | (training or {}),
            model={"lora_dropout": 0.0},
            init=start,
            output=tmp_path / name / stage,
            **(places | {"group_by_length": False} | options),
        )

    return build


def outcome(spec: TrainSpec) -> Outcome:
    (line,) = read_metrics(spec.metrics_path)
    weights = {
        name: value
        for path in sorted(spec.output.glob("*.safetensors"))
        for name, value in load_file(path).items()
    }
    return {key: line[key] for key in ("loss", "lm_loss", "grad_norm")}, weights


def train(
    spec: TrainSpec, ranks: Ranks, change: Callable[[Trainer], None] | None = None
) -> Outcome:
    trainer = Trainer(spec, ranks)
    if change is not None:
        change(trainer)
    trainer.train()
    return outcome(spec)


def assert_same(one: Outcome, other: Outcome, start: Path) -> None:
    for key, value in one[0].items():
        assert other[0][key] == pytest.approx(value, rel=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        torch.testing.assert_close(other[1][name], value, rtol=0, atol=RATE / 10)
    before = load_file(start / "adapters.safetensors")
    moved = {name: (one[1][name] - before[name]).abs().max() for name in before}
    assert max(moved.values()) > RATE / 2  # or there was nothing to compare


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("micro", [1, 2, 4])
def test_accumulation_over_smaller_batches(
    step_spec: StepSpec, ranks: Ranks, start: Path, stage: str, micro: int
) -> None:
    whole = train(step_spec(stage, "whole"), ranks)
    cut = train(step_spec(stage, "cut", training={"micro_batch_size": micro}), ranks)
    assert_same(whole, cut, start)


@pytest.mark.parametrize("stage", STAGES)
def test_order_of_the_examples(step_spec: StepSpec, ranks: Ranks, start: Path, stage: str) -> None:
    def turn(trainer: Trainer) -> None:
        batch = trainer.dataset.batch
        trainer.dataset.batch = lambda step: batch(step)[::-1]  # type: ignore[method-assign]

    forwards = train(step_spec(stage, "forwards"), ranks)
    assert_same(forwards, train(step_spec(stage, "backwards"), ranks, turn), start)


@pytest.mark.parametrize("stage", STAGES)
def test_more_padding(
    step_spec: StepSpec, ranks: Ranks, start: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_batch = trainer_module.make_batch
    fill = {"ids": 0, "mask": 0, "labels": -100}

    def widened(*arguments, **options) -> dict[str, torch.Tensor]:
        return {
            name: value
            if name == "document_memory"
            else F.pad(value, (7, 0), value=fill[name.rpartition("_")[2]])
            for name, value in make_batch(*arguments, **options).items()
        }

    narrow = train(step_spec(stage, "narrow"), ranks)
    monkeypatch.setattr(trainer_module, "make_batch", widened)
    assert_same(narrow, train(step_spec(stage, "wide"), ranks), start)


@pytest.mark.parametrize("stage", STAGES)
def test_grouping_by_length(step_spec: StepSpec, ranks: Ranks, start: Path, stage: str) -> None:
    # A step of all rows holds the same ones either way; here they are also cut in two.
    halves = {"training": {"micro_batch_size": 3}}
    shuffled = train(step_spec(stage, "shuffled", **halves), ranks)
    grouped = train(step_spec(stage, "grouped", group_by_length=True, **halves), ranks)
    assert_same(shuffled, grouped, start)


@pytest.mark.parametrize("stage", STAGES)
def test_logits_in_chunks_and_recomputed_layers(
    step_spec: StepSpec, ranks: Ranks, start: Path, stage: str
) -> None:
    plain = train(step_spec(stage, "plain"), ranks)
    saving = step_spec(stage, "saving", loss_chunk=2, gradient_checkpointing=True)
    assert_same(plain, train(saving, ranks), start)


def test_stored_memories(step_spec: StepSpec, ranks: Ranks, start: Path, tmp_path: Path) -> None:
    stored = train(step_spec("stage3", "stored"), ranks)
    assert list((tmp_path / "memory").rglob("*.safetensors"))
    assert_same(stored, train(step_spec("stage3", "compressed", memory=None), ranks), start)


@pytest.mark.parametrize("stage", ["stage2", pytest.param("stage3", marks=pytest.mark.slow)])
def test_two_ranks(
    step_spec: StepSpec, ranks: Ranks, start: Path, tmp_path: Path, stage: str
) -> None:
    alone = train(step_spec(stage, "alone"), ranks)
    spec = step_spec(
        stage, "together", training={"micro_batch_size": 2}, num_processes=2,
        memory=tmp_path / "shared_memory" if stage == "stage3" else None,
    )  # fmt: skip
    spec.work.mkdir(parents=True)
    path = tmp_path / "spec.json"
    path.write_text(spec.model_dump_json(), encoding="utf-8")
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "clara_model.training.worker", str(path)],
            cwd=ROOT,
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=840) for worker in workers] == [0, 0]
    assert_same(alone, outcome(spec), start)
