"""Paired comparisons, metric choice, and what MLflow is told of a result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stored_evaluation import QUESTIONS, stored_evaluation

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import Sample, load_benchmarks
from tasks.evaluation.captions import caption
from tasks.evaluation.evaluate import rescore
from tasks.evaluation.pairs import compare
from tasks.evaluation.published import published_rows
from tasks.evaluation.questions import read_questions
from tasks.evaluation.report_parts import leaderboard
from tasks.evaluation.score_tags import score_tags
from tasks.evaluation.scores import (
    leading,
    metric_groups,
    score_answers,
    score_chance,
    score_rankings,
)
from tasks.evaluation.summary import Summary
from tasks.evaluation.tracked import sample_table
from tasks.storage import Record, read_records, write_jsonl
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


def test_retrieval_of_normal_counts_every_question_and_misses_as_zero(summary: Summary) -> None:
    rows = {(r["system"], r["setting"]): r for r in summary["retrieval"]}

    def value(system: str, metric: str) -> float:
        return float(rows[system, "normal"]["metrics"][metric]["value"])

    assert rows["clara_r4", "oracle"]["n"] == QUESTIONS
    assert rows["clara_r4", "normal"]["n"] == QUESTIONS
    # Every second question has both golds among its candidates, the others none. Of ten such pairs
    # of questions: 3 with golds are ranked rightly (golds 1st and 2nd), 2 wrongly (3rd and 4th).
    assert value("clara_r4", "recall@1") == pytest.approx(3 / 10 / 2)
    assert value("clara_r4", "recall@3") == pytest.approx((3 + 2 / 2) / 10)
    assert value("clara_r4", "mrr") == pytest.approx((3 + 2 / 3) / 10, abs=1e-4)
    assert value("clara_r4", "all_found") == pytest.approx(3 / 10)
    # By chance one of four is first: a gold one in half of the draws, and half of the golds then.
    assert value("chance", "recall@1") == pytest.approx(1 / 2 * 1 / 4)
    # BM25: golds 2nd and 3rd of the candidates, where there are any.
    assert (value("bm25", "recall@1"), value("bm25", "mrr")) == (0.0, pytest.approx(1 / 4))
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
        "n = 40 questions, N = 4 candidates each, k = 2; pool: hotpotqa, 90 passages"
    )


def test_systems_that_share_no_question_are_not_compared() -> None:
    scored = {("b", "oracle", "x"): {"em": {0: 1.0}}, ("b", "oracle", "y"): {"em": {1: 1.0}}}
    systems = [{"id": "x", "chooses": False}, {"id": "y", "chooses": False}]
    assert compare(scored, {"b": "em"}, systems, 10, lambda *_: ["q", "r"]) == []


def test_questions_about_one_passage_are_swapped_and_drawn_together() -> None:
    ones, zeros = {"em": dict.fromkeys(range(12), 1.0)}, {"em": dict.fromkeys(range(12), 0.0)}
    scored = {("b", "oracle", "x"): ones, ("b", "oracle", "y"): zeros}
    systems = [{"id": "x", "chooses": False}, {"id": "y", "chooses": False}]

    def p_value(clusters: list[str]) -> float:
        found = compare(scored, {"b": "em"}, systems, 1000, lambda *_: clusters)
        return float(found[0]["p"])

    assert p_value([str(i) for i in range(12)]) < 0.05
    # Two passages: both differences keep their sign, or both lose it, in half of the swaps.
    assert p_value([str(i % 2) for i in range(12)]) == pytest.approx(0.5, abs=0.06)


def test_gold_that_is_no_candidate_stays_in_the_denominator() -> None:
    half = Sample("q", "?", ("a", "b", "c", "d"), ("x",), (2,), (2, 0, 1, 3), missing=1)
    free = Sample("r", "?", ("a", "b", "c", "d"), ("x",), (), (2, 0, 1, 3))
    values = score_rankings([half, free], [half.order, free.order], 2)
    assert {name: own[0] for name, own in values.items()} == {
        "recall@1": 0.5, "recall@3": 0.5, "recall@5": 0.5, "recall@10": 0.5, "mrr": 1.0,
        "ndcg@10": pytest.approx(0.6131, abs=1e-4),  # 1 / (1 + 1 / log2(3))
        "all_found": 0.0,
    }  # fmt: skip
    assert all(set(own) == {0} for own in values.values())  # nothing was to be found for the other
    assert score_chance([half, free])["recall@1"] == {0: pytest.approx(1 / 4 / 2)}


def test_rows_of_normal_count_the_golds_that_were_not_retrieved(tmp_path: Path) -> None:
    row: Record = {"question": "?", "gold_answer": "x", "docs": ["a", "b", "c"]}
    rows = [
        {**row, "id": "two", "pos_index": [1], "passage_ids": ["p1", "p2"], "source": "m.md"},
        {**row, "id": "none", "pos_index": [], "passage_ids": ["p1"], "source": "m.md"},
        {**row, "id": "world", "pos_index": []},
    ]
    write_jsonl(tmp_path / "benchmark" / "normal.jsonl", rows)
    write_jsonl(tmp_path / "benchmark" / "oracle.jsonl", [{**rows[0], "pos_index": [0, 1]}])
    config = PipelineConfig.model_validate({
        "workspace": str(tmp_path),
        "evaluation": {"held_out": ["documents"], "settings": ["oracle", "normal"]},
    })  # fmt: skip
    oracle, normal = load_benchmarks(config, Workspace(tmp_path))
    assert [len(sample.all_golds) for sample in normal.samples] == [2, 1, 1]
    assert [sample.missing for sample in oracle.samples] == [0]
    # The two questions about one passage are not independent of each other.
    assert [sample.subject for sample in normal.samples] == ["p1", "p1", "world"]
    told: Record = {"golds": ["x"], "positives": [1], "documents": [1], "answer": "no answer"}
    rows_answered = [told, {**told, "positives": []}, {**told, "positives": []}]
    assert score_answers(normal, rows_answered)["false_refusal"] == {}


def test_whole_documents_are_drawn_where_there_are_many(tmp_path: Path) -> None:
    rows = [
        {"id": str(i), "question": "?", "gold_answer": "x", "docs": ["a"], "pos_index": [0],
         "passage_ids": [f"p{i}"], "source": f"{i // 2}.md"}
        for i in range(40)
    ]  # fmt: skip
    config = PipelineConfig.model_validate({
        "workspace": str(tmp_path),
        "evaluation": {"held_out": ["documents"], "settings": ["oracle"]},
    })  # fmt: skip
    for count, subjects in ((40, 20), (38, 38)):  # twenty documents, nineteen
        write_jsonl(tmp_path / "benchmark" / "oracle.jsonl", rows[:count])
        (benchmark,) = load_benchmarks(config, Workspace(tmp_path))
        assert len({sample.subject for sample in benchmark.samples}) == subjects


def test_documents_that_were_read_are_counted_a_system(summary: Summary) -> None:
    assert all(row["documents"] == {"fewest": 2, "most": 2} for row in summary["scores"])


def test_questions_of_an_earlier_version_are_refused_with_the_remedy(tmp_path: Path) -> None:
    _, workspace = stored_evaluation(tmp_path)
    place = workspace.root / "evaluations" / "compared"
    path = place / "questions" / "hotpotqa.normal.jsonl"
    head, *rows = read_records(path)
    write_jsonl(path, [head, *({k: v for k, v in row.items() if k != "missing"} for row in rows)])
    with pytest.raises(DataError, match="clara evaluate --force"):
        read_questions(place)


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
