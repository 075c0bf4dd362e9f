"""`clara learn` on the smallest decoders: every kind of job, the page, and nothing done twice."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

STAGE = {"steps": 2, "batch_size": 4, "learning_rate": 1.0e-3}
TINY = {
    "seeds": [0],
    "built_in": {
        "hidden_size": 32, "layers": 2, "heads": 2, "ffn": 64, "vocab_size": 2048, "steps": 4,
        "copy_steps": 1, "short_steps": 2, "batch_size": 4, "checkpoint_every": 2,
    },
    "model": {"lora_r": 4},
    "rates": [8],
    "stage1": STAGE,
    "stage3": {**STAGE, "num_candidates": 6},
    "five_docs": {**STAGE, "k": 3},
    "questions": {"count": 10, "max_new_tokens": 3, "bootstrap_samples": 50},
}  # fmt: skip


class Learning:
    """A workspace and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "learn"
        self.page = folder / "learning.md"
        self.config = folder / "tiny.yaml"
        self.config.write_text(yaml.safe_dump({**TINY, "workspace": str(self.workspace)}))
        self.environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", "learn", str(self.config), "--out", str(self.page),
             *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=900,
        )  # fmt: skip


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learning:
    learning = Learning(tmp_path_factory.mktemp("learning"))
    done = learning.run()
    assert done.returncode == 0, done.stderr
    return learning


def test_everything_is_measured_and_told(learnt: Learning) -> None:
    summary = json.loads((learnt.workspace / "summary.json").read_text())
    assert summary["jobs"] == {"planned": 10, "done": 10}
    measured = {row["number"] for row in summary["targets"] if row["interval"]}
    assert measured == {1, 2, 3, 4, 5}
    assert all(row["interval"]["n"] == 10 for row in summary["targets"] if row["interval"])
    text = learnt.page.read_text()
    assert "## Targets" in text
    assert (learnt.page.with_suffix("") / "stage3.svg").is_file()


def test_training_leaves_models_and_curves_but_no_rows(learnt: Learning) -> None:
    folder = learnt.workspace / "seed0" / "stage3"
    assert (folder / "model" / "config.json").is_file()
    assert len((folder / "logs" / "metrics.jsonl").read_text().splitlines()) == 2
    assert not (folder / "rows.jsonl").exists()
    assert not (folder / "memory").exists()


def test_mlflow_has_a_run_a_seed(learnt: Learning) -> None:
    with sqlite3.connect(learnt.workspace / "mlflow.db") as database:
        names = {name for (name,) in database.execute("select name from runs")}
        metrics = {key for (key,) in database.execute("select distinct key from metrics")}
    assert "learn-seed0" in names
    assert "stage 1 EM at rate 8" in metrics


def test_the_flow_has_a_summary_of_what_was_reached(learnt: Learning) -> None:
    home = Path(learnt.environment["PREFECT_HOME"])
    with sqlite3.connect(home / "prefect.db") as database:
        artifacts = dict(database.execute("select key, data from artifact"))
    assert artifacts.keys() >= {"clara-learn", "clara-learn-counts", "clara-learn-mlflow"}
    page = json.loads(artifacts["clara-learn"])
    assert "10 of 10 jobs are done" in page
    assert "| 1 | Reader: EM" in page


def test_only_what_is_missing_is_done_again(learnt: Learning) -> None:
    results = sorted(learnt.workspace.glob("seed0/*/RESULT.json"))
    lost = learnt.workspace / "seed0" / "score-stage1-r8" / "RESULT.json"
    before = {path: path.stat().st_mtime_ns for path in results if path != lost}
    first = json.loads(lost.read_text())["sets"]
    lost.unlink()
    done = learnt.run("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["jobs"]["done"] == 10
    assert json.loads(lost.read_text())["sets"] == first
    assert {path: path.stat().st_mtime_ns for path in before} == before
