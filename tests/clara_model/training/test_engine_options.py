"""Precision, offload and gradient checkpointing: other memory, the same training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from deepspeed import DeepSpeedEngine
from safetensors.torch import load_file

from clara_model.modeling.adapters import DECODER
from clara_model.training import engine as engine_module
from clara_model.training.engine import Ranks, start_engine
from clara_model.training.spec import TrainSpec
from clara_model.training.stages import load_model
from clara_model.training.trainer import Trainer
from clara_model.weights import EXTRA_FILE, read_weights

MakeSpec = Callable[..., TrainSpec]
PLAIN = {"model": {"lora_dropout": 0.0}, "training": {"steps": 3}}


def _train(spec: TrainSpec, ranks: Ranks) -> dict[str, torch.Tensor]:
    Trainer(spec, ranks).train()
    return read_weights(spec.output)[0][DECODER]


def _masters(engine: DeepSpeedEngine) -> list[torch.Tensor]:
    if engine.zero_optimization_stage() == 3:
        return list(engine.optimizer.fp32_partitioned_groups_flat)
    return [p for group in engine.basic_optimizer.param_groups for p in group["params"]]


@pytest.mark.parametrize(
    "options",
    [
        {"offload": "optimizer", "zero_stage": 1},
        {"offload": "optimizer"},
        {"offload": "optimizer", "zero_stage": 3},
        {"offload": "all", "zero_stage": 3},
        {"gradient_checkpointing": True},
        {"loss_chunk": 2},
    ],
    ids=str,
)
def test_saving_memory_does_not_change_the_weights(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, options: dict
) -> None:
    apart = {"work": tmp_path / "other", "logs": tmp_path / "other"}
    expected = _train(make_spec("stage1", **PLAIN, **apart), ranks)
    got = _train(make_spec("stage1", **PLAIN, **options), ranks)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-3, atol=5e-4)


@pytest.mark.parametrize(
    "options",
    [{}, {"loss_chunk": 2}, {"loss_chunk": 2, "gradient_checkpointing": True}],
    ids=str,
)
def test_zero_3_gathers_weights_for_whatever_is_computed_again(
    make_spec: MakeSpec,
    ranks: Ranks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict,
) -> None:
    apart = {"work": tmp_path / "other", "logs": tmp_path / "other"}
    expected = _train(make_spec("stage1", **PLAIN, **apart), ranks)
    write = engine_module._engine_config

    def take_all_apart(*arguments: Any) -> dict[str, Any]:
        # Weights as small as these would otherwise stay whole.
        config = write(*arguments)
        for name in ("param_persistence_threshold", "max_live_parameters", "max_reuse_distance"):
            config["zero_optimization"][f"stage3_{name}"] = 0
        return config

    monkeypatch.setattr(engine_module, "_engine_config", take_all_apart)
    got = _train(make_spec("stage1", zero_stage=3, **PLAIN, **options), ranks)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-3, atol=5e-4)


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_bfloat16_keeps_trained_weights_in_float32(
    make_spec: MakeSpec, ranks: Ranks, zero_stage: int
) -> None:
    spec = make_spec("stage1", precision="bf16", zero_stage=zero_stage)
    model = load_model(spec, ranks)
    engine = start_engine(model, spec, 1)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert {master.dtype for master in _masters(engine)} == {torch.float32}


@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_weights_beside_lora_are_trained_and_handed_to_the_next_stage(
    make_spec: MakeSpec, ranks: Ranks, zero_stage: int
) -> None:
    spec = make_spec(
        "stage1", zero_stage=zero_stage, model={"train_also": ["norm"]}, training={"steps": 2}
    )
    Trainer(spec, ranks).train()
    extra = load_file(spec.output / EXTRA_FILE)
    assert all("norm" in name for name in extra)
    assert all((value != 1).any() for value in extra.values())
    later = make_spec("stage3", init=spec.output, model={"train_also": ["norm"]})
    model = load_model(later, ranks)
    assert all(torch.equal(model.extra.state()[name], extra[name]) for name in extra)
    assert not any(p.requires_grad for _, p in model.extra.parameters())
