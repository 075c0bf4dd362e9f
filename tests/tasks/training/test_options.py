"""Every option of the ablations reaches the training processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clara_model.training.spec import TrainSpec
from configs.schema import PipelineConfig
from tasks.training.launch import build_spec
from tasks.workspace import Workspace

EVERY = ("stage1", "stage2", "stage3")


def spec_with(root: Path, stage: str, key: str, value: object) -> TrainSpec:
    tree: dict[str, Any] = {}
    branch = tree
    *sections, last = key.replace("STAGE", stage).split(".")
    for section in sections:
        branch = branch.setdefault(section, {})
    branch[last] = value
    return build_spec(PipelineConfig.model_validate(tree), Workspace(root), stage)


@pytest.mark.parametrize(
    ("stages", "name", "value"),
    [
        (("stage1", "stage2"), "mse_weight", 0.0),
        (("stage1",), "data_mix", {"simple": 0.5, "complex": 0.0, "paraphrase": 1.0}),
        (("stage2",), "decoder_init", "fresh"),
        (("stage2",), "train_compressor", False),
        (("stage3",), "train_compressor", True),
        (("stage3",), "train_query_reasoner", False),
        (("stage3",), "train_decoder", False),
        (("stage3",), "query_init", "random"),
        (("stage3",), "temperature", 0.5),
        (EVERY, "schedule", "constant"),
        (EVERY, "warmup_ratio", 0.5),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_of_a_stage_reaches_it_and_changes_its_identity(
    tmp_path: Path, stages: tuple[str, ...], name: str, value: object
) -> None:
    for stage in stages:
        usual = build_spec(PipelineConfig(), Workspace(tmp_path), stage)
        chosen = spec_with(tmp_path, stage, f"training.STAGE.{name}", value)
        assert getattr(chosen.training, name) == value != getattr(usual.training, name)
        # A checkpoint of the other choice is not continued.
        assert chosen.identity != usual.identity


def test_k_reaches_every_stage_and_the_model(tmp_path: Path) -> None:
    for stage in EVERY:
        spec = spec_with(tmp_path, stage, "model.generation_top_k", 3)
        assert spec.clara_config().generation_top_k == 3


def test_stage3_starts_from_either_stage(tmp_path: Path) -> None:
    for start in ("stage1", "stage2"):
        spec = spec_with(tmp_path, "stage3", "training.stage3.init_from", start)
        assert spec.init == (tmp_path / "models" / start).resolve()
