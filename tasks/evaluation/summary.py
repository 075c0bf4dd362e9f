"""From predictions to numbers: scores with intervals, retrieval, comparisons, losses, words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clara_model.evaluation.bootstrap import bootstrap_mean
from clara_model.evaluation.metrics import score
from clara_model.evaluation.metrics.retrieval import (
    chance_recall_at,
    chance_reciprocal_rank,
    recall_at,
    reciprocal_rank,
)
from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import Benchmark, Sample
from tasks.evaluation.honesty import write_notes
from tasks.evaluation.jobs import BEFORE, STAGES, Job, losses
from tasks.storage import Record
from tasks.workspace import Workspace

Summary = dict[str, Any]
Place = tuple[str, str, str]  # benchmark, setting, system
# For each place and metric: the value of every question, by the question's number.
PerQuestion = dict[Place, dict[str, dict[int, float]]]

ANSWER_METRICS = {"em": "open.em", "f1": "open.f1", "containment": "open.contains"}
RECALL_AT = (1, 3, 5)

_CURVE_POINTS = 300
# In the order of the tables.
_SETTINGS = ("gold", "oracle", "normal", "decoy")
_SYSTEMS = ("chance", "bm25", BEFORE, "closed_book", "full_text", *STAGES)
# (metric, setting, system) against (setting, system) on the same questions.
_PAIRS = (
    ("recall@1", ("oracle", "stage3"), ("oracle", BEFORE)),
    ("recall@1", ("oracle", "stage3"), ("oracle", "bm25")),
    ("em", ("oracle", "stage1"), ("oracle", "closed_book")),
    ("em", ("oracle", "stage2"), ("oracle", "closed_book")),
    ("em", ("oracle", "stage3"), ("oracle", "closed_book")),
    ("em", ("oracle", "stage3"), ("oracle", "stage2")),
    ("em", ("oracle", "stage2"), ("oracle", "full_text")),
    ("em", ("oracle", "stage2"), ("decoy", "stage2")),
    ("em", ("gold", "stage2"), ("decoy", "stage2")),
    ("em", ("normal", "stage3"), ("normal", "closed_book")),
)


def summarise(
    config: PipelineConfig,
    workspace: Workspace,
    benchmarks: Sequence[Benchmark],
    predictions: Sequence[tuple[Job, list[Record]]],
) -> Summary:
    """Everything that tables and report say, as one JSON value."""
    samples = config.evaluation.bootstrap_samples
    per_question = _score_questions(benchmarks, predictions)
    summary: Summary = {
        "model": {
            "base": config.model.base,
            "compr_rate": config.model.compr_rate,
            "doc_max_length": config.model.doc_max_length,
            "memory_tokens": config.model.doc_max_length // config.model.compr_rate,
            "generation_top_k": config.model.generation_top_k,
            "num_candidates": config.negatives.num_candidates,
            "stage3_init_from": config.training.stage3.init_from,
            "query_init": config.training.stage3.query_init,
        },
        "benchmarks": [_describe(benchmark) for benchmark in benchmarks],
        "scores": _entries(per_question, samples, retrieval=False),
        "retrieval": _entries(per_question, samples, retrieval=True),
        "comparisons": _compare(per_question, samples),
        "losses": {stage: _loss(workspace, stage) for stage in ("base", *STAGES)},
    }
    summary["losses"] = {stage: loss for stage, loss in summary["losses"].items() if loss}
    summary["notes"] = write_notes(summary)
    return summary


def flat_counts(summary: Summary) -> dict[str, float]:
    """Scores under flat names, for manifest and MLflow: benchmark/setting/system/metric."""
    counts: dict[str, float] = {}
    for benchmark in summary["benchmarks"]:
        place = f"{benchmark['name']}/{benchmark['setting']}"
        counts[f"{place}/questions"] = benchmark["questions"]
        counts[f"{place}/gold_present"] = benchmark["gold_present"]
    for row in (*summary["scores"], *summary["retrieval"]):
        for name, metric in row["metrics"].items():
            counts[f"{row['benchmark']}/{row['setting']}/{row['system']}/{name}"] = metric["value"]
    return counts


def _score_questions(
    benchmarks: Sequence[Benchmark], predictions: Sequence[tuple[Job, list[Record]]]
) -> PerQuestion:
    scored: PerQuestion = {}
    for benchmark in benchmarks:
        scored[(benchmark.name, benchmark.pool, "chance")] = _chance(benchmark.samples)
        rankings = [sample.order for sample in benchmark.samples]
        scored[(benchmark.name, benchmark.pool, "bm25")] = _retrieval(benchmark.samples, rankings)
    for job, rows in predictions:
        samples = job.benchmark.samples
        metrics: dict[str, dict[int, float]] = {}
        if job.system != BEFORE:
            metrics |= {
                name: {i: score(key, row["answer"], row["golds"]) for i, row in enumerate(rows)}
                for name, key in ANSWER_METRICS.items()
            }
        if job.chooses:
            metrics |= _retrieval(samples, [row["ranking"] for row in rows])
        scored[(job.benchmark.name, job.setting, job.system)] = metrics
    return scored


def _retrieval(
    samples: Sequence[Sample], rankings: Sequence[Sequence[int]]
) -> dict[str, dict[int, float]]:
    """Retrieval scores of the questions that have a gold document among their candidates."""
    asked = [i for i, sample in enumerate(samples) if sample.positives]
    metrics = {
        f"recall@{k}": {i: recall_at(k, rankings[i], samples[i].positives) for i in asked}
        for k in RECALL_AT
    }
    metrics["mrr"] = {i: reciprocal_rank(rankings[i], samples[i].positives) for i in asked}
    return metrics


def _chance(samples: Sequence[Sample]) -> dict[str, dict[int, float]]:
    """What a random order of the candidates is expected to score."""
    asked = {i: sample for i, sample in enumerate(samples) if sample.positives}
    metrics = {
        f"recall@{k}": {i: chance_recall_at(k, len(s.candidates)) for i, s in asked.items()}
        for k in RECALL_AT
    }
    metrics["mrr"] = {
        i: chance_reciprocal_rank(len(s.candidates), len(s.positives)) for i, s in asked.items()
    }
    return metrics


def _entries(scored: PerQuestion, samples: int, *, retrieval: bool) -> list[Record]:
    """One row a place that has metrics of the wanted sort; stage 3 has both."""
    entries = []
    for (benchmark, setting, system), metrics in scored.items():
        own = {
            name: values
            for name, values in metrics.items()
            if values and (name in ANSWER_METRICS) != retrieval
        }
        if own:
            entries.append(
                {
                    "benchmark": benchmark,
                    "setting": setting,
                    "system": system,
                    "n": len(next(iter(own.values()))),
                    "metrics": {name: _interval(v, samples) for name, v in own.items()},
                }
            )
    return sorted(entries, key=_table_order)


def _table_order(entry: Record) -> tuple[str, int, int]:
    return (
        entry["benchmark"],
        _SETTINGS.index(entry["setting"]),
        _SYSTEMS.index(entry["system"]),
    )


def _interval(values: dict[int, float], samples: int) -> dict[str, float]:
    interval = bootstrap_mean(list(values.values()), samples=samples)
    return {name: round(getattr(interval, name), 4) for name in ("value", "low", "high")}


def _compare(scored: PerQuestion, samples: int) -> list[Record]:
    """Paired differences of two systems, question by question."""
    rows = []
    for benchmark in dict.fromkeys(place[0] for place in scored):
        for metric, first, second in _PAIRS:
            ours = scored.get((benchmark, *first), {}).get(metric, {})
            theirs = scored.get((benchmark, *second), {}).get(metric, {})
            both = sorted(ours.keys() & theirs.keys())
            if both:
                difference = _interval({i: ours[i] - theirs[i] for i in both}, samples)
                rows.append(
                    {
                        "benchmark": benchmark,
                        "metric": metric,
                        "first": dict(zip(("setting", "system"), first, strict=True)),
                        "second": dict(zip(("setting", "system"), second, strict=True)),
                        "n": len(both),
                        **difference,
                        "shown": difference["low"] > 0 or difference["high"] < 0,
                    }
                )
    return rows


def _describe(benchmark: Benchmark) -> Record:
    samples = benchmark.samples
    sizes = [len(sample.candidates) for sample in samples]
    return {
        "name": benchmark.name,
        "setting": benchmark.pool,
        "questions": len(samples),
        "candidates": {"fewest": min(sizes), "most": max(sizes)},
        "gold_present": sum(bool(sample.positives) for sample in samples),
        "providers": list(benchmark.providers),
    }


def _loss(workspace: Workspace, stage: str) -> Record | None:
    points = losses(workspace, stage)
    if not points:
        return None
    every = max(1, -(-len(points) // _CURVE_POINTS))
    curve = points[::every]
    if curve[-1] != points[-1]:
        curve.append(points[-1])
    return {
        "steps": points[-1][0],
        "first": points[0][1],
        "last": points[-1][1],
        "curve": [[step, round(loss, 4)] for step, loss in curve],
    }
