"""Paired comparisons, metric choice, and what MLflow is told of a result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stored_evaluation import QUESTIONS, stored_evaluation

from tasks.evaluation.evaluate import rescore
from tasks.evaluation.pairs import compare
from tasks.evaluation.published import published_rows
from tasks.evaluation.questions import read_questions
from tasks.evaluation.report_parts import caption, leaderboard
from tasks.evaluation.score_tags import score_tags
from tasks.evaluation.scores import leading, metric_groups, score_rankings
from tasks.evaluation.summary import Summary
from tasks.evaluation.tracked import sample_table
from tasks.storage import read_records
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scored")


@pytest.fixture(scope="module")
def summary(folder: Path) -> Summary:
    return rescore(*stored_evaluation(folder))


def test_scores_are_the_shares_that_were_made_up(summary: Summary) -> None:
    found = {(r["system"], r["setting"]): r for r in summary["scores"]}
    row = found["clara_r4", "oracle"]
    assert row["n"] == QUESTIONS
    for metric in ("hotpot.em", "hotpot.f1", "clara.acc", "clara.acc_any", "em"):
        assert row["metrics"][metric]["value"] == pytest.approx(0.9, abs=0.03)
    interval = row["metrics"]["hotpot.em"]
    assert interval["low"] < 0.9 < interval["high"]


def test_named_systems_are_tested_each_with_each(summary: Summary) -> None:
    pairs = {
        (p["first"]["system"], p["second"]["system"]): p
        for p in summary["comparisons"]
        if p["metric"] == "hotpot.em" and p["first"]["setting"] == "oracle"
    }
    assert set(pairs) == {("clara_r4", "clara_r16"), ("clara_r4", "text_base"),
                          ("clara_r16", "text_base")}  # fmt: skip
    better, same = pairs["clara_r4", "clara_r16"], pairs["clara_r16", "text_base"]
    assert better["shown"]
    assert better["value"] == pytest.approx(0.4)
    assert better["p"] < 0.05
    assert not same["shown"]
    assert (same["value"], same["p"]) == (0.0, 1.0)


def test_no_difference_is_said_in_words(summary: Summary) -> None:
    assert any(note["text"].startswith("No difference shown") for note in summary["notes"])


def test_retrieval_of_normal_counts_questions_with_a_gold_candidate(summary: Summary) -> None:
    rows = {(r["system"], r["setting"]): r for r in summary["retrieval"]}
    assert rows["clara_r4", "oracle"]["n"] == QUESTIONS
    assert rows["clara_r4", "normal"]["n"] == QUESTIONS // 2
    # Both golds first, or last of four: recall 1/2 of two golds at rank 1 when right.
    assert rows["clara_r4", "oracle"]["metrics"]["recall@1"]["value"] == pytest.approx(0.45)
    assert rows["clara_r4", "oracle"]["metrics"]["all_found"]["value"] == pytest.approx(0.9)


def test_leading_metric_is_official_and_stored_questions_say_so(
    folder: Path, summary: Summary
) -> None:
    benchmark = read_questions(folder / "evaluations" / "compared")[0]
    assert leading(benchmark) == "hotpot.em"
    groups = metric_groups(benchmark)
    assert groups["official"] == ("hotpot.em", "hotpot.f1", "hotpot.prec", "hotpot.recall")
    assert "clara.acc" in groups["paper"]
    assert "clara.acc_any" in groups["fair"]


def test_leaderboard_marks_the_best_and_states_pool_n_and_k(summary: Summary) -> None:
    board = leaderboard(summary)
    assert board["best"] == [
        max(row["cells"][i]["value"] for row in board["rows"]) for i in range(2)
    ]
    assert caption(summary["benchmarks"][0], summary) == (
        "n = 40 questions, N = 4 candidates each, k = 2 read; pool: hotpotqa, 90 passages"
    )


def test_systems_that_share_no_question_are_not_compared() -> None:
    scored = {("b", "oracle", "x"): {"em": {0: 1.0}}, ("b", "oracle", "y"): {"em": {1: 1.0}}}
    systems = [{"id": "x", "chooses": False}, {"id": "y", "chooses": False}]
    assert compare(scored, {"b": "em"}, systems, 10) == []


def test_questions_without_a_gold_candidate_have_no_retrieval_score(folder: Path) -> None:
    normal = read_questions(folder / "evaluations" / "compared")[1]
    values = score_rankings(normal.samples, [s.order for s in normal.samples], 2)
    assert set(values["recall@1"]) == {i for i in range(QUESTIONS) if i % 2}


def test_published_rows_are_shares_and_of_known_benchmarks_only() -> None:
    rows = published_rows("answers", "hotpotqa", "normal")
    text = next(r for r in rows if r["system"].startswith("text of the top 5"))
    assert text["metrics"] == {"clara.acc": pytest.approx(0.4294)}
    assert len(published_rows("retrieval", "nq", "oracle")) == 11
    assert published_rows("retrieval", "nq", "normal") == []
    assert published_rows("answers", "world", "oracle") == []


def test_sample_table_has_a_question_a_row_with_its_scores(folder: Path, summary: Summary) -> None:
    place = folder / "evaluations" / "compared"
    benchmark = read_questions(place)[0]
    rows = read_records(place / "predictions" / "hotpotqa.oracle.clara_r4.jsonl")
    columns, data = sample_table(benchmark, rows)
    assert columns[-4:] == ["hotpot.em", "em", "f1", "containment"]
    assert len(data) == QUESTIONS
    assert data[0][columns.index("answer")] == "Village 0"
    assert data[9][columns.index("hotpot.em")] == 0.0


def test_a_stages_scores_become_tags_with_interval_and_n(tmp_path: Path) -> None:
    metric = {"value": 0.5, "low": 0.25, "high": 0.75}
    row = {"benchmark": "world", "setting": "oracle", "system": "stage3", "n": 8,
           "metrics": {"recall@1": metric, "mrr": metric}}  # fmt: skip
    summary = {"benchmarks": [], "scores": [], "retrieval": [row, {**row, "system": "bm25"}]}
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps(summary))
    assert score_tags(Workspace(tmp_path), "stage3") == {
        "clara.score.world.oracle.recall_at_1": "0.5 [0.25, 0.75] n=8"
    }
    assert score_tags(Workspace(tmp_path / "elsewhere"), "stage3") == {}
