"""kill -9 of everything, at any point, loses and doubles nothing."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from pathlib import Path

import pytest
from safetensors.torch import load_file

from small_pipeline import Pipeline, kill_group
from tasks.storage import hash_file

pytestmark = pytest.mark.slow

ROW_FILES = ("raw_knowledge.jsonl", "captions.jsonl", "passages.jsonl", "synthesis.jsonl",
             "pretrain_data.jsonl", "instruction_data.jsonl", "end_to_end_data.jsonl",
             "clara_training_data.jsonl", "benchmark/normal.jsonl", "benchmark/oracle.jsonl",
             "world/pretrain_data.jsonl", "world/end_to_end_data.jsonl")  # fmt: skip


@pytest.fixture(scope="module")
def interrupted(
    finished: Pipeline, documents: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    """The same pipeline, killed again and again until one run comes to its end."""
    pipeline = Pipeline(tmp_path_factory.mktemp("interrupted"), documents)
    waits = random.Random(0)
    for _ in range(6):
        process = pipeline.start("run")
        try:
            process.communicate(timeout=waits.uniform(8, 35))
        except subprocess.TimeoutExpired:
            kill_group(process)
    pipeline.clara("run")
    return pipeline


@pytest.mark.parametrize("name", ROW_FILES)
def test_rows_are_those_of_an_undisturbed_run(
    finished: Pipeline, interrupted: Pipeline, name: str
) -> None:
    assert hash_file(interrupted.workspace / name) == hash_file(finished.workspace / name)


def test_final_weights_are_those_of_an_undisturbed_run(
    finished: Pipeline, interrupted: Pipeline
) -> None:
    files = sorted((finished.workspace / "models" / "stage3").glob("*.safetensors"))
    assert files
    for path in files:
        ours, theirs = (
            load_file(interrupted.workspace / "models/stage3" / path.name),
            load_file(path),
        )
        assert ours.keys() == theirs.keys()
        assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_no_mlflow_run_is_doubled(finished: Pipeline, interrupted: Pipeline) -> None:
    def names(pipeline: Pipeline) -> list[tuple[str]]:
        with sqlite3.connect(pipeline.workspace / "mlflow.db") as database:
            return database.execute(
                "select value from tags where key = 'clara.step' order by value"
            ).fetchall()

    assert names(interrupted) == names(finished)


def test_nothing_unfinished_is_left_lying_about(interrupted: Pipeline) -> None:
    debris = [p for p in interrupted.workspace.rglob("*") if p.name.endswith((".tmp", ".new"))]
    assert debris == []
