from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from small_pipeline import Pipeline
from tasks.storage import read_records

pytestmark = pytest.mark.slow

STEPS = {"extract", "caption", "tokenizer", "passages", "synthesize", "mine", "card", "base",
         "stage1", "stage2", "stage3", "index", "evaluate", "report"}  # fmt: skip


def rows(finished: Pipeline, name: str) -> list[dict]:
    return read_records(finished.workspace / name)


def test_every_step_leaves_a_manifest(finished: Pipeline) -> None:
    manifests = {p.stem for p in (finished.workspace / "manifests").glob("[!.]*.json")}
    assert manifests == STEPS


def test_the_end_shows_a_table_per_part_and_where_to_go(finished: Pipeline) -> None:
    output = (finished.folder / "output.txt").read_text()
    for words in ("Data", "Set aside", "Training", "Scores on held-out questions", "Gold passage",
                  "Where things are", "report.html", "Try next"):  # fmt: skip
        assert words in output
    assert "Traceback" not in output


def test_unreadable_files_are_set_aside_with_a_reason_and_the_run_goes_on(
    finished: Pipeline,
) -> None:
    rejected = {r["item"]: r["reason"] for r in rows(finished, "rejected.jsonl")
                if r["step"] == "extract"}  # fmt: skip
    assert {"empty.pdf", "broken.docx"} <= set(rejected)
    assert all(rejected.values())


def test_held_out_documents_are_in_no_training_row(finished: Pipeline) -> None:
    passages = {p["id"]: p for p in rows(finished, "passages.jsonl")}
    held_out = {p["text"] for p in passages.values() if p["split"] == "benchmark"}
    assert held_out
    training = rows(finished, "clara_training_data.jsonl")
    assert {row["stage"] for row in training} == {"stage1", "stage2", "stage3"}
    assert not held_out & {doc for row in training for doc in row["docs"]}


def test_gold_positions_point_to_the_passages_that_the_question_was_made_from(
    finished: Pipeline,
) -> None:
    passages = {p["id"]: p["text"] for p in rows(finished, "passages.jsonl")}
    questions = rows(finished, "end_to_end_data.jsonl")
    assert questions
    for row in questions:
        asked_of = set() if row["kind"] == "unanswerable" else set(row["passage_ids"])
        assert {row["docs"][i] for i in row["pos_index"]} == {passages[p] for p in asked_of}


def test_mlflow_holds_one_parent_and_one_child_a_step(finished: Pipeline) -> None:
    with sqlite3.connect(finished.workspace / "mlflow.db") as database:
        kinds = database.execute("select value from tags where key = 'clara.kind'").fetchall()
        steps = database.execute("select value from tags where key = 'clara.step'").fetchall()
        statuses = database.execute("select distinct status from runs").fetchall()
        versions = database.execute("select count(*) from model_versions").fetchone()
    assert kinds.count(("pipeline",)) == 1
    assert sorted(s for (s,) in steps) == sorted(STEPS)
    assert statuses == [("FINISHED",)]
    assert versions == (3,)  # one a stage


def test_a_second_run_recognises_everything(finished: Pipeline) -> None:
    before = snapshot(finished.workspace)
    output = finished.clara("run")
    assert "Everything is up to date." in output
    assert snapshot(finished.workspace) == before


def test_json_output_is_one_object_on_standard_output(finished: Pipeline) -> None:
    output = finished.clara("run", "--json")
    last = json.loads(output.strip().splitlines()[-1])
    assert set(last["steps"]) == STEPS


def test_a_question_is_answered_with_citations(finished: Pipeline) -> None:
    answer = json.loads(finished.clara("ask", "--json", "Who founded it?").strip().splitlines()[-1])
    ids = {p["id"] for p in rows(finished, "passages.jsonl")}
    assert answer["citations"]
    assert {c["passage_id"] for c in answer["citations"]} <= ids


def snapshot(workspace: Path) -> dict[str, float]:
    return {str(p.relative_to(workspace)): p.stat().st_mtime for p in workspace.rglob("*.jsonl")}
