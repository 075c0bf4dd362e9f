"""What the evaluation's step depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks.plan import build_plan
from tasks.workspace import Workspace


def inputs(root: Path, **evaluation: Any) -> set[str]:
    config = PipelineConfig.model_validate({
        "workspace": str(root), "evaluation": evaluation, "training": {"world": {"share": 0.5}},
    })  # fmt: skip
    return {str(path) for path in build_plan(config, Workspace(root))["evaluate"].inputs}


def test_the_workspaces_own_evaluation_needs_its_models_and_questions(tmp_path: Path) -> None:
    names = ("models/base", "models/stage1", "models/stage2", "models/stage3", "benchmark",
             "world/benchmark")  # fmt: skip
    assert inputs(tmp_path) == {str(tmp_path / name) for name in names}
    assert str(tmp_path / "benchmark") not in inputs(tmp_path, held_out=["world"])


def test_a_given_model_needs_no_workspace(tmp_path: Path) -> None:
    model, rows = tmp_path / "some+model", tmp_path / "rows.jsonl"
    model.mkdir()
    rows.touch()
    given = {"systems": [f"bm25+text:{model}"], "benchmarks": [str(rows)], "held_out": []}
    assert inputs(tmp_path / "empty", **given) <= {str(model), str(rows)}
    assert str(rows) in inputs(tmp_path / "empty", **given)
    assert str(model) in inputs(tmp_path / "empty", **{**given, "systems": [str(model)]})
