"""From the values of single questions to what the page says; nothing is trained or asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clara_model.evaluation.metrics.retrieval import chance_recall_at
from configs.learning import LearningConfig
from tasks.learning.intervals import mean_interval, ratio_interval
from tasks.learning.plan import Plan
from tasks.learning.targets import TARGETS, Target, is_met
from tasks.storage import Record

# The result of every job that was done, by name.
Results = Mapping[str, Record]

RETRIEVERS = {"": "stage 3", "before.": "before stage 3", "bm25.": "BM25"}
_QUESTIONS = {"name": "by name", "alias": "by alias", "described": "by description"}
RETRIEVAL_METRICS = ("recall@1", "recall@5", "mrr")


@dataclass(frozen=True)
class Values:
    """One metric on every question of every seed that was scored.

    Args:
        seeds: Seed of each question.
        groups: Seed and crowd of each question.
        values: The metric.
    """

    seeds: list[int]
    groups: list[tuple[int, int]]
    values: list[float]

    def minus(self, other: Values) -> Values:
        """Question by question; both must have been asked the same."""
        pairs = zip(self.values, other.values, strict=True)
        return Values(self.seeds, self.groups, [a - b for a, b in pairs])

    def by_seed(self) -> dict[int, float]:
        """Mean of each seed."""
        seeds = np.asarray(self.seeds)
        values = np.asarray(self.values)
        return {seed: float(values[seeds == seed].mean()) for seed in dict.fromkeys(self.seeds)}


def summarise(config: LearningConfig, plan: Plan, results: Results) -> Record:
    """Everything that the page says, as one JSON value; what was not done is None or left out."""
    samples = config.questions.bootstrap_samples
    scores = _Scores(config, plan, results)
    return {
        "title": config.title,
        "split": config.questions.split,
        "seeds": config.seeds,
        "questions": config.questions.count,
        "main_rate": config.main_rate,
        "chance": chance_recall_at(1, config.stage3.num_candidates),
        "targets": [_target(target, scores, samples) for target in TARGETS],
        "rates": [
            {"rate": rate, "vectors": config.model.doc_max_length // rate,
             "steps": config.stage1_steps_at.get(rate, config.stage1.steps),
             **_told(scores.get(f"stage1-r{rate}", "name", "em"), samples)}
            for rate in config.rates
        ],
        "retrieval": _retrieval(scores, samples),
        "ablations": _ablations(config, plan, results, samples),
        "recipes": _recipes(config),
        "decoder": config.built_in.model_dump(mode="json"),
        "parameters": _first(results, "reader", "parameters"),
        "cost": _cost(config, results),
        "machines": _machines(results),
        "jobs": {"planned": len(plan.jobs), "done": len(results)},
    }  # fmt: skip


class _Scores:
    """Looks up a metric over all seeds."""

    def __init__(self, config: LearningConfig, plan: Plan, results: Results) -> None:
        self.config, self.plan, self.results = config, plan, results

    def get(self, part: str, questions: str, metric: str) -> Values | None:
        """The metric where every seed has it; else None, as a mean over fewer would mislead."""
        names = [self.plan.scores.get((seed, part)) for seed in self.config.seeds]
        return gather(self.results, dict(zip(self.config.seeds, names, strict=True)), questions,
                      metric)  # fmt: skip


def gather(
    results: Results, names: Mapping[int, str | None], questions: str, metric: str
) -> Values | None:
    """One metric from the scoring jobs of the seeds; None where one is missing."""
    seeds: list[int] = []
    groups: list[tuple[int, int]] = []
    values: list[float] = []
    for seed, name in names.items():
        found = results.get(name or "", {}).get("sets", {}).get(questions)
        if found is None or metric not in found["scores"]:
            return None
        own = found["scores"][metric]
        seeds += [seed] * len(own)
        groups += [(seed, group) for group in found["groups"]]
        values += own
    return Values(seeds, groups, values) if values else None


def _told(values: Values | None, samples: int) -> Record:
    """Mean, interval and the seeds' own means."""
    if values is None:
        return {"interval": None, "seeds": []}
    return {"interval": mean_interval(values.values, values.groups, samples),
            "seeds": list(values.by_seed().values())}  # fmt: skip


def _target(target: Target, scores: _Scores, samples: int) -> Record:
    found = scores.get(*target.score)
    other = scores.get(*target.against) if target.against else None
    told = _told(None, samples)
    if found is not None and target.against is None:
        told = _told(found, samples)
    elif found is not None and other is not None and target.compare == "difference":
        told = _told(found.minus(other), samples)
    elif found is not None and other is not None:
        under = other.by_seed()
        interval = ratio_interval(found.values, other.values, found.groups, samples)
        seeds = [value / under[s] if under[s] else None for s, value in found.by_seed().items()]
        told = {"interval": interval, "seeds": seeds if interval else []}
    return {
        "number": target.number,
        "what": target.what,
        "asked": target.asked,
        **told,
        "met": is_met(target, told["interval"]),
    }


def _retrieval(scores: _Scores, samples: int) -> list[Record]:
    """Rows of the retrieval table: questions, who ranks, and its scores."""
    rows = []
    for questions, words in _QUESTIONS.items():
        systems = [("stage3", prefix, name) for prefix, name in RETRIEVERS.items()]
        systems.append(("stage3-control", "", "stage 3, shuffled answers"))
        for part, prefix, system in systems:
            told = {
                metric: _told(scores.get(part, questions, prefix + metric), samples)["interval"]
                for metric in RETRIEVAL_METRICS
            }
            told["em"] = _told(scores.get(part, questions, "em") if not prefix else None, samples)[
                "interval"
            ]
            if any(told.values()):
                rows.append({"questions": words, "system": system, "metrics": told})
    return rows


def _ablations(config: LearningConfig, plan: Plan, results: Results, samples: int) -> list[Record]:
    rows = []
    seeds = config.seeds[: config.ablation_seeds]
    for name, ablation in config.ablations.items():
        pairs = {seed: plan.ablations[seed, name] for seed in seeds}
        part, _, metric = ablation.metric.partition(".")
        questions = "several" if part == "five_docs" else ablation.questions
        reference, variant = (
            gather(results, {seed: pair[i] for seed, pair in pairs.items()}, questions, metric)
            for i in (0, 1)
        )
        both = reference is not None and variant is not None
        gap = variant.minus(reference) if reference is not None and variant is not None else None
        interval = _told(gap, samples)["interval"]
        rows.append(
            {
                **ablation.model_dump(exclude={"change"}),
                "name": name,
                "reference": _told(reference if both else None, samples)["interval"],
                "variant": _told(variant if both else None, samples)["interval"],
                "difference": interval,
                "verdict": _verdict(ablation.direction, interval),
            }
        )
    return rows


def _verdict(direction: str, difference: Record | None) -> str:
    """Whether the difference goes the paper's way, as far as its interval tells."""
    if difference is None:
        return "not run"
    if difference["low"] <= 0.0 <= difference["high"]:
        return "agrees" if direction == "same" else "no difference to be seen"
    ours = "lower" if difference["high"] < 0 else "higher"
    return "agrees" if ours == direction else "disagrees"


def _recipes(config: LearningConfig) -> list[Record]:
    """One line a stage; what is not said is a default."""
    rows = []
    stages: list[tuple[str, Any]] = [
        ("stage 1", config.stage1),
        ("stage 3", config.stage3),
        (f"stage 2, {config.five_docs.k} documents", config.five_docs),
    ]
    if config.two_hop is not None:
        stages.append(("stage 3, two hops", config.two_hop))
    for name, recipe in stages:
        values = recipe.model_dump(mode="json")
        shown = {key: value for key, value in values.items() if key in recipe.model_fields_set}
        for key in ("steps", "batch_size", "learning_rate", "schedule"):
            shown.pop(key, None)
        rows.append({"stage": name, "steps": recipe.steps, "batch_size": recipe.batch_size,
                     "learning_rate": recipe.learning_rate, "schedule": recipe.schedule,
                     "other": shown})  # fmt: skip
    return rows


def _cost(config: LearningConfig, results: Results) -> Record:
    """Minutes that the jobs ran, in all and for each seed; overlapping ones counted once."""
    spans = [(r["started"], r["ended"]) for r in results.values()]
    by_seed = {}
    for seed in config.seeds:
        own = [r for name, r in results.items() if name.startswith(f"seed{seed}/")]
        by_seed[seed] = sum(r["ended"] - r["started"] for r in own) / 60
    return {
        "wall_minutes": covered(spans) / 60,
        "job_minutes": by_seed,
        "workers": config.workers,
        "threads": config.threads,
    }


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Length of the union of time spans."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _machines(results: Results) -> list[str]:
    names = []
    for result in results.values():
        machine = result["machine"]
        parts = [f"{machine['processor']}, {machine['cores']} cores", machine.get("accelerator")]
        names.append(", ".join(part for part in parts if part))
    return list(dict.fromkeys(names))


def _first(results: Results, kind: str, count: str) -> float | None:
    found = (r["counts"][count] for r in results.values() if r["kind"] == kind)
    return next(found, None)
