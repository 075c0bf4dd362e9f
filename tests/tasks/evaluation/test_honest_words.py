from __future__ import annotations

from typing import Any

import pytest

from tasks.evaluation.honesty import write_notes


def metric(value: float, low: float | None = None, high: float | None = None) -> dict[str, float]:
    return {"value": value, "low": value if low is None else low, "high": high or value}


def summary(**changes: Any) -> dict[str, Any]:
    whole = {
        "model": {"base": "org/decoder", "query_init": "encoder"},
        "benchmarks": [
            {
                "name": "documents", "setting": "oracle", "questions": 200,
                "gold_present": 200, "providers": ["gpt"],
            }
        ],
        "scores": [],
        "retrieval": [],
        "comparisons": [],
    }  # fmt: skip
    return {**whole, **changes}


def texts(value: dict[str, Any]) -> str:
    return "\n".join(note["text"] for note in write_notes(value))


def benchmark(**changes: Any) -> dict[str, Any]:
    return {**summary()["benchmarks"][0], **changes}


def scored(em: dict[str, float], n: int = 200, setting: str = "oracle") -> dict[str, Any]:
    return {
        "benchmark": "documents", "setting": setting, "system": "stage2", "n": n,
        "metrics": {"em": em},
    }  # fmt: skip


def test_nothing_is_said_where_nothing_is_doubtful() -> None:
    assert write_notes(summary(scores=[scored(metric(0.5, 0.4, 0.6))])) == []


@pytest.mark.parametrize(("questions", "said"), [(29, True), (30, False)])
def test_few_questions_are_called_few(questions: int, said: bool) -> None:
    words = texts(summary(benchmarks=[benchmark(questions=questions, gold_present=questions)]))
    assert ("Too few to rank" in words) is said


def test_rule_based_questions_are_called_so() -> None:
    assert "embedded rule-based" in texts(summary(benchmarks=[benchmark(providers=["embedded"])]))


def test_absent_golds_of_the_normal_setting_are_counted() -> None:
    words = texts(summary(benchmarks=[benchmark(setting="normal", gold_present=150)]))
    assert "150 of 200" in words


@pytest.mark.parametrize(("value", "bound"), [(1.0, "as low as 0.90"), (0.0, "as high as 0.10")])
def test_score_without_spread_gets_the_rule_of_three(value: float, bound: str) -> None:
    assert bound in texts(summary(scores=[scored(metric(value), n=30)]))


def test_pair_whose_interval_includes_zero_shows_no_difference() -> None:
    pair = {
        "benchmark": "documents", "metric": "em", "n": 40, "shown": False,
        "first": {"setting": "oracle", "system": "stage3"},
        "second": {"setting": "oracle", "system": "closed_book"},
        "value": 0.05, "low": -0.1, "high": 0.2,
    }  # fmt: skip
    assert "No difference shown" in texts(summary(comparisons=[pair]))
    assert "No difference shown" not in texts(summary(comparisons=[{**pair, "shown": True}]))


def test_bm25_ahead_of_stage3_is_admitted() -> None:
    rows = [
        {"benchmark": "world", "setting": "oracle", "system": system, "n": 50,
         "metrics": {"recall@1": metric(value)}}
        for system, value in (("bm25", 0.99), ("stage3", 0.8))
    ]  # fmt: skip
    pair = {
        "benchmark": "world", "metric": "recall@1", "n": 50, "value": -0.19, "low": -0.3,
        "high": -0.1, "shown": True, "first": {"setting": "oracle", "system": "stage3"},
        "second": {"setting": "oracle", "system": "bm25"},
    }  # fmt: skip
    assert "BM25 ranks better" in texts(summary(retrieval=rows, comparisons=[pair]))
    for others in ([], [{**pair, "shown": False}], [{**pair, "metric": "em"}]):
        words = texts(summary(retrieval=rows, comparisons=others))
        assert "BM25 ranks better" not in words
        assert "BM25 is ahead of stage 3, by no more than the paired test" in words


def test_small_decoder_is_not_compared_with_the_paper() -> None:
    words = texts(summary(model={"base": "built-in", "query_init": "encoder"}))
    assert "none of these figures can be compared with the paper's" in words
