"""Questions that nothing answers, refusals in vain, and documents longer than a model reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_workspace import tiny_config, tiny_workspace

from tasks.evaluation.benchmarks import UNANSWERABLE, Benchmark, Sample, load_benchmarks
from tasks.evaluation.cut import count_cut
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.honesty import write_notes
from tasks.evaluation.report import write_report
from tasks.evaluation.scores import leading, metric_groups, score_answers
from tasks.evaluation.summary import summarise
from tasks.storage import Record, read_records, write_jsonl
from tasks.workspace import Workspace

REFUSAL = "The documents do not say."


def answered(answer: str, documents: list[int], **others: object) -> Record:
    return {"question": "?", "golds": ["Paris"], "positives": [0, 1], "documents": documents,
            "answer": answer, **others}  # fmt: skip


def benchmark(pool: str, *candidates: str) -> Benchmark:
    sample = Sample("q", "?", candidates or ("a", "b", "c"), ("Paris",), (0, 1), (0, 1, 2))
    return Benchmark("documents", pool, (sample, sample, sample, sample), (), "key")


def test_a_refusal_is_false_only_where_all_golds_were_read() -> None:
    rows = [answered(REFUSAL, [0, 1]), answered("Paris", [1, 0]), answered(REFUSAL, [0, 2]),
            answered("unknown", [])]  # fmt: skip
    scored = score_answers(benchmark("oracle"), rows)
    assert scored["false_refusal"] == {0: 1.0, 1: 0.0}
    assert scored["refused"] == {}


def test_unanswerable_questions_are_scored_by_refusals_alone() -> None:
    asked = benchmark(UNANSWERABLE)
    rows = [
        answered(a, [0], golds=["Steht nicht da."]) for a in (REFUSAL, "steht nicht da", "Rom", "")
    ]
    assert score_answers(asked, rows) == {"refused": {0: 1.0, 1: 1.0, 2: 0.0, 3: 0.0}}
    assert leading(asked) == "refused"
    assert metric_groups(asked) == {"ours": ("refused",)}


def test_cut_documents_are_counted_and_what_was_lost_with_them() -> None:
    asked = benchmark("oracle", "It lies in Paris.", "Nothing here, but then: Paris.", "c")
    rows = [
        answered("?", [1], cut={"1": 12}),  # the answer is in what was cut
        answered("?", [0, 1], cut={"1": 12}),  # it also stands in what was read
        answered("?", [2], cut={"2": 0}),  # it stood nowhere
        answered("?", [1]),
    ]
    job = {"benchmark": "documents", "pool": "oracle", "setting": "gold", "system": "stage2"}
    (entry,) = count_cut([asked], [(job, rows)], [{"id": "stage2", "doc_max_length": 64}])
    assert (entry["questions"], entry["cut"], entry["lost"], entry["limit"]) == (4, 3, 1, 64)
    assert count_cut([asked], [(job, [rows[3]] * 4)], [{"id": "stage2"}]) == []
    summary = {"benchmarks": [], "scores": [], "retrieval": [], "comparisons": [], "cut": [entry],
               "model": {"base": "m", "query_init": "encoder"}}  # fmt: skip
    told = next(n["text"] for n in write_notes(summary) if n["about"] == "documents")
    assert "longer than 64 tokens" in told
    assert "for 3 of 4 questions" in told
    assert "for up to 1 of them an accepted answer" in told


@pytest.fixture(scope="module")
def workspace(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two questions that nothing answers, and two whose documents are far too long."""
    workspace = tiny_workspace(tmp_path_factory.mktemp("refusing"), shared, questions=2)
    rows = read_records(workspace.benchmark / "oracle.jsonl")
    nothing = {"pos_index": [], "gold_answer": REFUSAL, "golden_answers": None}
    write_jsonl(workspace.benchmark / "unanswerable.jsonl", [{**row, **nothing} for row in rows])
    long = [{**row, "docs": [f"{text} {'More of the same. ' * 400}" for text in row["docs"]]}
            for row in rows]  # fmt: skip
    write_jsonl(workspace.benchmark / "oracle.jsonl", long)
    config = tiny_config(workspace)
    own = config.evaluation.model_copy(update={"held_out": ["documents", "unanswerable"]})
    evaluate(config.model_copy(update={"evaluation": own}), workspace)
    return workspace


def test_unanswerable_questions_are_a_benchmark_of_their_own(workspace: Workspace) -> None:
    found = load_benchmarks(tiny_config(workspace), workspace)
    assert [(b.name, b.pool) for b in found if b.name == UNANSWERABLE] == [
        (UNANSWERABLE, UNANSWERABLE)
    ]
    place = workspace.evaluation / "predictions"
    for system in ("closed_book", "full_text", "stage1", "stage2", "stage3"):
        rows = read_records(place / f"unanswerable.unanswerable.{system}.jsonl")
        assert [row["golds"] for row in rows] == [[REFUSAL]] * 2
    assert not (place / "unanswerable.unanswerable.encoder.jsonl").exists()
    page = write_report(tiny_config(workspace), workspace).read_text()
    assert "Questions that nothing answers" in page


def test_predictions_say_how_much_of_a_long_document_was_read(workspace: Workspace) -> None:
    summary = json.loads((workspace.evaluation / "summary.json").read_text())
    cut = {(row["setting"], row["system"]): row["cut"] for row in summary["cut"]}
    assert cut["oracle", "stage1"] == cut["oracle", "stage3"] == 2
    assert "full_text" not in {system for _, system in cut}
    sample = next(b for b in load_benchmarks(tiny_config(workspace), workspace)
                  if (b.name, b.pool) == ("documents", "oracle")).samples[0]  # fmt: skip
    row = read_records(workspace.evaluation / "predictions/documents.oracle.stage2.jsonl")[0]
    for place, count in row["cut"].items():
        assert 0 < count < len(sample.candidates[int(place)]) / 2
    page = write_report(tiny_config(workspace), workspace).read_text()
    assert "are cut before they are compressed" in page
    assert "Documents that were cut" in page


def test_what_was_stored_is_scored_with_the_configured_refusals(tmp_path: Path) -> None:
    config = tiny_config(Workspace(tmp_path))
    own = config.synthesis.model_copy(update={"refusals": {"en": "Steht nicht da."}})
    config = config.model_copy(update={"synthesis": own})
    asked = benchmark("oracle")
    rows = [answered("steht nicht da", [0, 1])] * 4
    job = {"benchmark": "documents", "pool": "oracle", "setting": "oracle", "system": "stage2",
           "k": 2, "ranks_only": False, "chooses": False, "key": "k"}  # fmt: skip
    system = {"id": "stage2", "name": "stage 2", "k": 2, "kind": "clara", "chooses": False,
              "ranks_only": False, "stage": "stage2"}  # fmt: skip
    index = {"own": False, "systems": [system], "jobs": [job]}
    summary = summarise(config, Workspace(tmp_path), [asked], index, [(job, rows)])
    assert summary["scores"][0]["metrics"]["false_refusal"]["value"] == 1.0
