"""Questions that are shown beside the scores."""

from __future__ import annotations

from pathlib import Path

from clara_model.evaluation.benchmarks import SPECS, LoadedBenchmark
from clara_model.evaluation.benchmarks import Sample as PublicSample
from tasks.evaluation.benchmarks import Benchmark, Sample
from tasks.evaluation.examples import choose_examples, count_disagreements


def test_questions_that_nobody_can_score_are_shown_without_a_score() -> None:
    sample = Sample("q", "Who?", ("A passage.",), (), (), (0,))
    asked = (PublicSample("q", "Who?", ()),)
    public = LoadedBenchmark(SPECS["hotpotqa"], Path("h.json"), asked, (), False)
    benchmark = Benchmark("hotpotqa", "oracle", (sample,), (), "k", public, None)
    rows = [{"answer": "Ada", "golds": [], "positives": [], "documents": [0]}]
    answers = {"one": rows, "two": rows}
    (shown,) = choose_examples(benchmark, answers)
    assert [told["score"] for told in shown["answers"]] == [None, None]
    assert count_disagreements(benchmark, answers) == (0, 0)
