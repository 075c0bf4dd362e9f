"""From predictions to numbers: scores with intervals, retrieval, comparisons, losses, words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clara_model.evaluation.bootstrap import bootstrap_mean
from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import UNANSWERABLE, Benchmark
from tasks.evaluation.costs import with_pay_off
from tasks.evaluation.cut import count_cut
from tasks.evaluation.honesty import write_notes
from tasks.evaluation.losses import LOGGED, read_losses
from tasks.evaluation.pairs import Clusters, PerQuestion, Place, compare
from tasks.evaluation.reconstruction import score_reconstruction
from tasks.evaluation.scores import (
    RANK_METRICS,
    leading,
    metric_groups,
    score_answers,
    score_chance,
    score_rankings,
)
from tasks.storage import Record
from tasks.workspace import Workspace

Summary = dict[str, Any]

# In the order of the tables.
_SETTINGS = ("gold", "oracle", "normal", "decoy", UNANSWERABLE)
_BASELINES = ("chance", "bm25")


def summarise(
    config: PipelineConfig,
    workspace: Workspace,
    benchmarks: Sequence[Benchmark],
    index: Record,
    predictions: Sequence[tuple[Record, list[Record]]],
    written: Sequence[tuple[Record, list[Record]]] = (),
) -> Summary:
    """Everything that tables and report say, as one JSON value; needs no model.

    Args:
        config: For the number of resamples, and what the model is like.
        workspace: Where losses are logged.
        benchmarks: The questions.
        index: What was asked: systems, and jobs with their costs.
        predictions: Each job's entry of the index, and its predictions.
        written: Each CLaRa model's entry of the index, and the passages that it wrote anew.
    """
    samples = config.evaluation.bootstrap_samples
    systems = index["systems"]
    refusals = list(config.synthesis.refusals.values())
    scored = score_all(benchmarks, index, predictions, refusals)
    order = [*_BASELINES, *(system["id"] for system in systems)]
    clusters = clusters_of(benchmarks)
    read = _documents_read(predictions)
    leads = {benchmark.name: leading(benchmark) for benchmark in benchmarks}
    is_own = index["own"]
    summary: Summary = {
        "model": _describe_model(config),
        "name": config.evaluation.name,
        "own": is_own,
        "systems": systems,
        "benchmarks": [_describe(benchmark) for benchmark in benchmarks],
        "scores": [
            {**row, "documents": read[(row["benchmark"], row["setting"], row["system"])]}
            for row in _entries(scored, samples, order, clusters, retrieval=False)
        ],
        "retrieval": _entries(scored, samples, order, clusters, retrieval=True),
        "judge": index.get("judge"),
        "comparisons": compare(scored, leads, systems, samples, clusters),
        "reconstruction": score_reconstruction(written, systems, samples),
        "cut": count_cut(benchmarks, predictions, systems),
        "costs": _costs(index),
        "losses": read_losses(workspace.logs, index.get("logged", LOGGED if is_own else ())),
    }
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
    for row in summary["reconstruction"]:
        for name, metric in row["metrics"].items():
            counts[f"{row['benchmark']}/{row['system']}/{name}"] = metric["value"]
    return counts


def score_all(
    benchmarks: Sequence[Benchmark],
    index: Record,
    predictions: Sequence[tuple[Record, list[Record]]],
    refusals: Sequence[str],
) -> PerQuestion:
    """Every metric of every question, by place; arguments as in `summarise`."""
    scored: PerQuestion = {}
    ks = [system["k"] for system in index["systems"]] or [1]
    for benchmark in benchmarks:
        rankings = [sample.order for sample in benchmark.samples]
        scored[(benchmark.name, benchmark.pool, "chance")] = score_chance(benchmark.samples)
        scored[(benchmark.name, benchmark.pool, "bm25")] = score_rankings(
            benchmark.samples, rankings, max(ks)
        )
    by_place = {(benchmark.name, benchmark.pool): benchmark for benchmark in benchmarks}
    for job, rows in predictions:
        benchmark = by_place[(job["benchmark"], job["pool"])]
        metrics = {} if job["ranks_only"] else score_answers(benchmark, rows, refusals)
        for name, values in job.get("judged", {}).items():
            metrics[name] = {int(i): value for i, value in values.items()}
        if job["chooses"]:
            rankings_found = [row["ranking"] for row in rows]
            metrics |= score_rankings(benchmark.samples, rankings_found, job["k"])
        scored[(job["benchmark"], job["setting"], job["system"])] = metrics
    return scored


def clusters_of(benchmarks: Sequence[Benchmark]) -> Clusters:
    """What each question is about; gold and decoy ask what oracle asks."""
    known = {(b.name, b.pool): [sample.subject for sample in b.samples] for b in benchmarks}

    def clusters(benchmark: str, setting: str) -> Sequence[str]:
        own = known.get((benchmark, setting))
        return known[(benchmark, "oracle")] if own is None else own

    return clusters


def _documents_read(
    predictions: Sequence[tuple[Record, list[Record]]],
) -> dict[Place, dict[str, int]]:
    """Fewest and most documents that a system read for a question."""
    found: dict[Place, dict[str, int]] = {}
    for job, rows in predictions:
        counts = [len(row["documents"]) for row in rows] or [0]
        place = (job["benchmark"], job["setting"], job["system"])
        found[place] = {"fewest": min(counts), "most": max(counts)}
    return found


def _entries(
    scored: PerQuestion,
    samples: int,
    order: Sequence[str],
    clusters: Clusters,
    *,
    retrieval: bool,
) -> list[Record]:
    """One row a place that has metrics of the wanted sort; stage 3 has both."""
    entries = []
    for (benchmark, setting, system), metrics in scored.items():
        own = {
            name: values
            for name, values in metrics.items()
            if values and (name in RANK_METRICS) == retrieval
        }
        if own:
            n = max(len(values) for values in own.values())
            about = clusters(benchmark, setting)
            entries.append(
                {
                    "benchmark": benchmark,
                    "setting": setting,
                    "system": system,
                    "n": n,
                    "metrics": {name: _interval(v, samples, n, about) for name, v in own.items()},
                }
            )
    return sorted(
        entries,
        key=lambda row: (
            row["benchmark"], _SETTINGS.index(row["setting"]), order.index(row["system"])
        ),
    )  # fmt: skip


def _interval(
    values: dict[int, float], samples: int, n: int, about: Sequence[str]
) -> dict[str, float]:
    """Mean and interval, with an n of its own where it is not the row's."""
    clusters = [about[i] for i in values]
    interval = bootstrap_mean(list(values.values()), clusters=clusters, samples=samples)
    found = {name: round(getattr(interval, name), 4) for name in ("value", "low", "high")}
    return found if interval.n == n else {**found, "n": interval.n}


def _describe_model(config: PipelineConfig) -> Record:
    return {
        "base": config.model.base,
        "compr_rate": config.model.compr_rate,
        "doc_max_length": config.model.doc_max_length,
        "memory_tokens": config.model.doc_max_length // config.model.compr_rate,
        "generation_top_k": config.model.generation_top_k,
        "num_candidates": config.negatives.num_candidates,
        "stage3_init_from": config.training.stage3.init_from,
        "query_init": config.training.stage3.query_init,
    }


def _describe(benchmark: Benchmark) -> Record:
    samples = benchmark.samples
    sizes = [len(sample.candidates) for sample in samples]
    public, audit = benchmark.public, benchmark.audit
    found = {
        "name": benchmark.name,
        "setting": benchmark.pool,
        "questions": len(samples),
        "candidates": {"fewest": min(sizes), "most": max(sizes)},
        "gold_present": sum(bool(sample.positives) for sample in samples),
        "clusters": len({sample.subject for sample in samples}),
        "providers": list(benchmark.providers),
        "pool": {
            "name": audit.pool if audit else "the rows' own candidates",
            "size": audit.pool_size
            if audit
            else len({text for sample in samples for text in sample.candidates}),
        },
        "metrics": {group: list(names) for group, names in metric_groups(benchmark).items()},
        "lead": leading(benchmark),
        "is_public": public is not None,
        "audit": None,
    }
    if public is not None:
        found |= {
            "title": public.spec.title,
            "version": public.spec.version,
            "citation": public.spec.citation,
            "file": public.path.name,
            "set_aside": len(public.set_aside),
            "is_chinese": public.is_chinese,
        }
    if audit is not None:
        found["audit"] = {"with_golds": audit.with_golds, "any_present": audit.any_present,
                          "all_present": audit.all_present}  # fmt: skip
    return found


def _costs(index: Record) -> list[Record]:
    """Measured costs, with what compressing saves, by benchmark and setting."""
    kinds = {system["id"]: system["kind"] for system in index["systems"]}
    by_place: dict[tuple[str, str], list[Record]] = {}
    for job in index["jobs"]:
        if job.get("cost"):
            place = {name: job[name] for name in ("benchmark", "setting", "system", "k")}
            entry = {**job["cost"], **place, "kind": kinds[job["system"]]}
            by_place.setdefault((job["benchmark"], job["setting"]), []).append(entry)
    return [cost for costs in by_place.values() for cost in with_pay_off(costs)]
