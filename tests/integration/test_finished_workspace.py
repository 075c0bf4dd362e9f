"""What stands after a pipeline: in MLflow, and once what nobody needs has been removed."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from small_pipeline import ROOT, Pipeline

pytestmark = pytest.mark.slow

STEPS = {"extract", "caption", "tokenizer", "passages", "synthesize", "mine", "card", "base",
         "stage1", "stage2", "stage3", "index", "evaluate", "report"}  # fmt: skip
SHARED = {"clara.model", "clara.base", "clara.compr_rate", "clara.doc_max_length",
          "clara.pipeline_id", "clara.workspace", "clara.code_version", "clara.host",
          "clara.kind"}  # fmt: skip


def recorded_runs(database: Path) -> list[dict[str, str]]:
    """Every run's tags, its name among them."""
    with sqlite3.connect(database) as connection:
        runs: dict[str, dict[str, str]] = {}
        for run, key, value in connection.execute("select run_uuid, key, value from tags"):
            runs.setdefault(run, {})[key] = value
    return list(runs.values())


def test_every_run_carries_what_it_is_compared_by(finished: Pipeline) -> None:
    runs = recorded_runs(finished.workspace / "mlflow.db")
    in_git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    commit = {"clara.git_commit"} if in_git.returncode == 0 else set()
    assert [run["mlflow.runName"] for run in runs if not run.keys() >= SHARED | commit] == []
    whole = [run for run in runs if run["clara.kind"] == "pipeline"]
    assert [run["mlflow.runName"][:20] for run in whole] == ["pipeline built-in r8"]
    steps = {run["clara.step"]: run for run in runs if run["clara.kind"] == "step"}
    assert set(steps) == STEPS
    assert len(steps) == len([run for run in runs if run["clara.kind"] == "step"])
    for name, run in steps.items():
        assert run["clara.stage"] == name
        assert run["mlflow.runName"].startswith(f"{name} built-in r8 ")
        assert run["mlflow.parentRunId"]
    # The rows' fingerprint, from when there are rows; what is scored can be told by it as well.
    after_rows = [steps[name] for name in ("stage1", "stage2", "stage3", "evaluate")]
    results = [run for run in runs if run["clara.kind"] == "result"]
    assert results
    fingerprints = {run["clara.data_fingerprint"] for run in [*whole, *after_rows, *results]}
    assert len(fingerprints) == 1


def test_gc_removes_what_it_lists_and_nothing_that_a_run_needs(
    finished: Pipeline, tmp_path: Path
) -> None:
    pipeline = finished.copy(tmp_path)
    root = pipeline.workspace
    shutil.copytree(root / "models" / "stage3", root / "models" / "stage3-before")
    checkpoint = root / "progress" / "stage1" / "step-0000002" / "weights.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"x" * 1000)
    rubbish = [root / "models" / "stage3-before", root / "progress" / "stage1"]

    listed = pipeline.clara("gc")
    assert "nothing was removed: add --yes" in listed
    assert all(path.exists() for path in rubbish)
    removed = pipeline.clara("gc", "--yes")
    assert "MB removed" in removed
    assert not any(path.exists() for path in rubbish)
    assert "Nothing here that is not needed." in pipeline.clara("gc")
    assert "Everything is up to date." in pipeline.clara("run")
    pipeline.clara("ask", "Who founded it?")
