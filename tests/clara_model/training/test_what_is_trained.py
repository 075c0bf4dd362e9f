"""The ablations' choices of what a stage trains, through the real training loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clara_model import Clara
from clara_model.errors import CheckpointError, ConfigError
from clara_model.memory import MemoryStore, build_memory, compressor_hash
from clara_model.training.engine import Ranks, learning_rate
from clara_model.training.metrics import read_metrics
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer

MakeSpec = Callable[..., TrainSpec]

STEPS = {"steps": 2, "learning_rate": 1e-2}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.stem}/{name}": tensor
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def moved(before: Path, after: Path) -> set[str]:
    """Adapters, and `memory_tokens`, whose weights differ."""
    old, new = Clara.from_pretrained(before), Clara.from_pretrained(after)
    changed = {
        name
        for name in old.adapters.names
        if any(
            not torch.equal(value, new.adapters.state(name)[key])
            for key, value in old.adapters.state(name).items()
        )
    }
    if not torch.equal(old.embedding.weight, new.embedding.weight):
        changed.add("memory_tokens")
    return changed


@pytest.fixture
def stage1(make_spec: MakeSpec, ranks: Ranks) -> Path:
    spec = make_spec("stage1", training=STEPS)
    Trainer(spec, ranks).train()
    return spec.output


def train(spec: TrainSpec, ranks: Ranks) -> Trainer:
    trainer = Trainer(spec, ranks)
    trainer.train()
    return trainer


def test_stage2_can_leave_the_compressor_as_it_is(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path
) -> None:
    frozen = make_spec("stage2", init=stage1, training=STEPS | {"train_compressor": False})
    trainer = train(frozen, ranks)
    assert moved(stage1, frozen.output) == {"decoder_adapter"}
    # Memories made with stage 1's model are those of this one.
    assert compressor_hash(trainer.model) == compressor_hash(Clara.from_pretrained(stage1))


def test_stage2_trains_everything_by_default(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path
) -> None:
    spec = make_spec("stage2", init=stage1, training=STEPS)
    train(spec, ranks)
    assert moved(stage1, spec.output) == {"encoder_adapter", "decoder_adapter", "memory_tokens"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, {"query_reasoner_adapter", "decoder_adapter"}),
        ({"train_query_reasoner": False}, {"decoder_adapter"}),
        ({"train_decoder": False}, {"query_reasoner_adapter"}),
        (
            {"train_compressor": True},
            {"query_reasoner_adapter", "decoder_adapter", "encoder_adapter"},
        ),
        ({"train_compressor": True, "train_query_reasoner": False, "train_decoder": False},
         {"encoder_adapter"}),
    ],
    ids=lambda value: "+".join(sorted(value)) or "default",
)  # fmt: skip
def test_stage3_trains_what_is_asked_for(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path, tmp_path: Path, choice: dict, expected: set
) -> None:
    # A start that has a query reasoner: what stays can then be seen.
    start = Clara.from_pretrained(stage1)
    start.prepare_stage("stage3")
    start.save_pretrained(tmp_path / "start")
    spec = make_spec("stage3", init=tmp_path / "start", training=STEPS | choice)
    train(spec, ranks)
    assert moved(tmp_path / "start", spec.output) == expected


def test_a_trained_compressor_needs_no_store_and_ends_the_validity_of_memories(
    make_spec: MakeSpec,
    ranks: Ranks,
    stage1: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = Clara.from_pretrained(stage1)
    build_memory(old, ["Ada Lark was born."], tmp_path / "old")
    spec = make_spec("stage3", init=stage1, training=STEPS | {"train_compressor": True})
    with caplog.at_level(logging.WARNING):
        trainer = train(spec, ranks)
    assert trainer.memory is None
    assert "no longer valid" in caplog.text
    with pytest.raises(CheckpointError, match="compress the documents again"):
        MemoryStore.open(tmp_path / "old", compressor_hash(trainer.model))


def test_a_stage_that_trains_nothing_is_refused(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path
) -> None:
    choice = {"train_query_reasoner": False, "train_decoder": False}
    with pytest.raises(ConfigError, match=r"training\.stage3: nothing to train"):
        Trainer(make_spec("stage3", init=stage1, training=choice), ranks)


def test_without_a_weight_the_mse_term_teaches_nothing(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path
) -> None:
    def gradient_free(weight: float) -> tuple[dict[str, torch.Tensor], dict]:
        places = {name: tmp_path / f"{name}-{weight}" for name in ("output", "work", "logs")}
        spec = make_spec("stage1", training=STEPS | {"mse_weight": weight},
                         model={"lora_dropout": 0.0}, **places)  # fmt: skip
        train(spec, ranks)
        return weights(spec.output), read_metrics(spec.metrics_path)[0]

    (without, line), (with_it, other) = gradient_free(0.0), gradient_free(5.0)
    assert line["loss"] == line["lm_loss"] == pytest.approx(other["lm_loss"])
    assert other["loss"] == pytest.approx(other["lm_loss"] + 5.0 * other["mse_loss"])
    assert any(not torch.equal(without[name], with_it[name]) for name in without)


@pytest.mark.parametrize("k", [1, 3])
def test_stage3_takes_k_and_temperature_from_the_configuration(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path, k: int
) -> None:
    spec = make_spec(
        "stage3", init=stage1, model={"generation_top_k": k}, training=STEPS | {"temperature": 0.5}
    )
    trainer = Trainer(spec, ranks)
    assert trainer.model.config.topk_temperature == 0.5
    trainer.train()
    saved = Clara.from_pretrained(spec.output).config
    assert (saved.generation_top_k, saved.topk_temperature) == (k, 0.5)


@pytest.mark.parametrize("init", ["encoder", "random"])
def test_stage3_starts_its_query_reasoner_as_asked(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path, init: str
) -> None:
    trainer = Trainer(make_spec("stage3", init=stage1, training={"query_init": init}), ranks)
    encoder = trainer.model.adapters.state("encoder_adapter")
    reasoner = trainer.model.adapters.state("query_reasoner_adapter")
    alike = [torch.equal(encoder[name], reasoner[name]) for name in encoder]
    assert all(alike) if init == "encoder" else not any(alike)


@pytest.mark.parametrize(
    ("schedule", "half_way", "last"),
    [("cosine", 0.5, 0.0245), ("linear", 0.5, 0.1), ("constant", 1.0, 1.0)],
)
def test_schedules_follow_their_names(
    make_spec: MakeSpec, schedule: str, half_way: float, last: float
) -> None:
    # Without warm-up, over ten steps: cosine's last rate is (1 + cos(0.9 pi)) / 2 = 0.0245.
    training = {"schedule": schedule, "warmup_ratio": 0.0, "learning_rate": 1.0}
    part = make_spec("stage1", training=training).training
    rates = [learning_rate(part, step, 10) for step in (0, 5, 9)]
    assert rates == pytest.approx([1.0, half_way, last], abs=1e-4)
