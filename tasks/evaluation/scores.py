"""Every prediction's scores: answers by their benchmark's metrics, rankings, a judge's words."""

from __future__ import annotations

from collections.abc import Sequence

from clara_model.evaluation.benchmarks import answer_metrics, is_scored, score_answer
from clara_model.evaluation.benchmarks.scoring import leading_metric
from clara_model.evaluation.metrics import score
from clara_model.evaluation.metrics.retrieval import (
    RECALL_AT,
    chance_recall_at,
    chance_reciprocal_rank,
    ranking_scores,
)
from tasks.evaluation.benchmarks import UNANSWERABLE, Benchmark, Sample
from tasks.storage import Record

# The value of every question, by the question's number.
Values = dict[int, float]

# Ours, for any benchmark and language, so that benchmarks can be read beside each other.
ANSWER_METRICS = {"em": "open.em", "f1": "open.f1", "containment": "open.contains"}
RECALLS = tuple(f"recall@{k}" for k in RECALL_AT)
RANK_METRICS = (*RECALLS, "mrr", "ndcg@10", "all_found")
# What a model says to questions that nothing answers, and where the answer lay before it.
REFUSED, FALSE_REFUSAL = "refused", "false_refusal"
JUDGE_METRICS = ("judge.correct", "judge.faithful")


def metric_groups(benchmark: Benchmark) -> dict[str, tuple[str, ...]]:
    """Names of a benchmark's answer metrics: official, paper, fair, ours."""
    if benchmark.pool == UNANSWERABLE:
        return {"ours": (REFUSED,)}
    groups: dict[str, tuple[str, ...]] = {}
    if benchmark.public is not None:
        for group, names in answer_metrics(benchmark.public).items():
            if own := tuple(name for name in names if name not in ANSWER_METRICS.values()):
                groups[group] = own
    return groups | {"ours": (*ANSWER_METRICS, FALSE_REFUSAL, REFUSED)}


def leading(benchmark: Benchmark) -> str:
    """The one answer metric to look at first."""
    if benchmark.pool == UNANSWERABLE:
        return REFUSED
    if benchmark.public is None:
        return "em"
    name = leading_metric(benchmark.public)
    return next((short for short, metric in ANSWER_METRICS.items() if metric == name), name)


def score_answers(
    benchmark: Benchmark, rows: Sequence[Record], refusals: Sequence[str] = ()
) -> dict[str, Values]:
    """All answer metrics of one file of predictions, for the questions that are scored.

    Args:
        benchmark: The questions.
        rows: Their predictions.
        refusals: How models were trained to say that the documents hold no answer.
    """
    if benchmark.pool == UNANSWERABLE:
        return {REFUSED: {i: score("open.refusal", row["answer"], [*refusals, *row["golds"]])
                          for i, row in enumerate(rows)}}  # fmt: skip
    found: dict[str, Values] = {
        name: {i: score(metric, row["answer"], row["golds"]) for i, row in enumerate(rows)
               if row["golds"]}
        for name, metric in ANSWER_METRICS.items()
    }  # fmt: skip
    found |= _refusals(benchmark, rows, refusals)
    public = benchmark.public
    if public is None:
        return found
    for i, (row, sample) in enumerate(zip(rows, public.samples, strict=True)):
        if is_scored(public, sample):
            for name, value in score_answer(public, sample, row["answer"]).items():
                if name not in ANSWER_METRICS.values():
                    found.setdefault(name, {})[i] = value
    return found


def _refusals(
    benchmark: Benchmark, rows: Sequence[Record], refusals: Sequence[str]
) -> dict[str, Values]:
    """Refusals where nothing is accepted, and where all gold documents were read."""
    refused, false = {}, {}
    for i, (row, sample) in enumerate(zip(rows, benchmark.samples, strict=True)):
        was_told = sample.all_golds and set(sample.all_golds) <= set(row["documents"])
        if not row["golds"]:
            refused[i] = score("open.refusal", row["answer"], refusals)
        elif was_told:
            false[i] = score("open.refusal", row["answer"], refusals)
    return {FALSE_REFUSAL: false, REFUSED: refused}


def score_rankings(
    samples: Sequence[Sample], rankings: Sequence[Sequence[int]], k: int
) -> dict[str, Values]:
    """Retrieval scores of all questions that have gold documents.

    A gold document that is not among the candidates counts as one that was not found.
    """
    asked = [i for i, sample in enumerate(samples) if sample.all_golds]
    found: dict[str, Values] = {name: {} for name in RANK_METRICS}
    for i in asked:
        for name, value in ranking_scores(rankings[i], samples[i].all_golds, k).items():
            found["all_found" if name.startswith("all_found") else name][i] = value
    return found


def score_chance(samples: Sequence[Sample]) -> dict[str, Values]:
    """What a random order of the candidates is expected to score, of the same questions."""
    asked = {i: sample for i, sample in enumerate(samples) if sample.all_golds}
    found: dict[str, Values] = {
        f"recall@{k}": {
            i: chance_recall_at(k, len(s.candidates)) * len(s.positives) / len(s.all_golds)
            for i, s in asked.items()
        }
        for k in RECALL_AT
    }
    found["mrr"] = {
        i: chance_reciprocal_rank(len(s.candidates), len(s.positives)) for i, s in asked.items()
    }
    return found
