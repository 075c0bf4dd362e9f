"""Whose loss curves stand on a report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from stored_evaluation import stored_evaluation
from tiny_workspace import tiny_config, tiny_workspace

from configs.schema import PipelineConfig
from tasks.evaluation.entrants import list_entrants
from tasks.evaluation.evaluate import rescore
from tasks.evaluation.losses import trained_here
from tasks.evaluation.report import write_report
from tasks.storage import write_jsonl


def test_only_the_workspaces_own_stages_have_a_log(shared: Path, tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path / "own", shared)
    foreign = shutil.copytree(workspace.models / "stage2", tmp_path / "elsewhere" / "stage2")
    given = tiny_config(workspace).model_dump(mode="json")
    lines = [str(foreign), "stage1", f"bm25+text:{workspace.models / 'base'}"]
    given["evaluation"]["systems"] = lines
    config = PipelineConfig.model_validate(given)
    assert trained_here(list_entrants(config, workspace), workspace) == ["base", "stage1"]
    own = list_entrants(tiny_config(workspace), workspace)
    assert trained_here(own, workspace) == ["base", "stage1", "stage2", "stage3"]


def test_losses_of_named_stages_stand_on_the_page_where_they_were_logged(tmp_path: Path) -> None:
    config, workspace = stored_evaluation(tmp_path)
    path = tmp_path / "evaluations" / "compared" / "index.json"
    index = json.loads(path.read_text())
    curve = [{"step": step, "loss": 4.0 / step} for step in (1, 2, 4)]
    for stage in ("stage2", "stage3"):  # stage 2 was trained here, too, but takes no part
        write_jsonl(workspace.logs / stage / "metrics.jsonl", curve)
    path.write_text(json.dumps({**index, "logged": ["stage1", "stage3"]}))
    losses = rescore(config, workspace)["losses"]
    assert losses == {
        "stage3": {"steps": 4, "first": 4.0, "last": 1.0, "curve": [[1, 4.0], [2, 2.0], [4, 1.0]]}
    }
    page = write_report(config, workspace).read_text()
    assert "4.000 → 1.000 in 4 steps" in page

    path.write_text(json.dumps({**index, "logged": []}))
    assert rescore(config, workspace)["losses"] == {}
    assert 'id="losses"' not in write_report(config, workspace).read_text()
