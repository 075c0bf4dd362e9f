"""Scores of regenerated passages: what a memory kept, beside what any other passage would score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from clara_model.evaluation.bootstrap import bootstrap_mean, compare_paired
from clara_model.evaluation.metrics.reconstruction import reconstruction_scores
from tasks.evaluation.questions import read_questions
from tasks.evaluation.reconstruct import bert_path, gold_passages, rebuilt_path
from tasks.storage import Record, read_records

METRICS = tuple(
    f"reconstruction.{name}"
    for name in ("rouge1", "rougeL", "numbers", "names", "entities", "bert_score")
)
# The floor: another held-out passage in the place of the regenerated one.
FLOOR = "another"
_SHOWN = 3

WORDS = {
    "stage1": "trained to, as far as paraphrases are among the rows of stage 1",
    "stage2": "no longer trained to: what instruction tuning has left of it",
    "stage3": "no longer trained to: what end-to-end training has left of it",
}


def read_reconstruction(folder: Path, index: Record) -> list[tuple[Record, list[Record]]]:
    """What each model of the last evaluation wrote, with BERTScores where they were asked for.

    Raises:
        DataError: If a file is gone.
    """
    found = []
    for entry in index.get("reconstruction", ()):
        path = rebuilt_path(folder, entry["benchmark"], entry["system"])
        if not path.is_file():
            raise DataError(f"{path}: regenerated passages are gone; run `clara evaluate --force`")
        rows = read_records(path)
        if entry.get("bert_key") and bert_path(path).is_file():
            scores = read_records(bert_path(path))
            if len(scores) == len(rows) and all(s["key"] == entry["bert_key"] for s in scores):
                rows = [{**r, "bert_score": s["f1"]} for r, s in zip(rows, scores, strict=True)]
        found.append((entry, rows))
    return found


def score_reconstruction(
    written: Sequence[tuple[Record, list[Record]]], systems: Sequence[Record], samples: int
) -> list[Record]:
    """A row a (benchmark, system).

    A metric has an n of its own where not every passage holds a number, or a name.

    Args:
        written: Of `read_reconstruction`.
        systems: Of `Entrant.describe`.
        samples: Resamples of an interval.
    """
    stages = {system["id"]: system["stage"] for system in systems}
    rows: list[Record] = []
    floors: dict[str, list[dict[str, float]]] = {}
    for entry, texts in written:
        benchmark, system = entry["benchmark"], entry["system"]
        if benchmark not in floors:
            floors[benchmark] = _floor(texts)
            if floors[benchmark]:
                floor = _row(benchmark, FLOOR, None, floors[benchmark], samples)
                rows.append({**floor, "above_floor": None})
        scored = [passage_scores(text) for text in texts]
        row = _row(benchmark, system, stages[system], scored, samples)
        rows.append({**row, "above_floor": _above(scored, floors[benchmark], samples)})
    return rows


def _floor(texts: Sequence[Record]) -> list[dict[str, float]]:
    """What each passage's neighbour scores in the place of what a model wrote of it."""
    if len(texts) < 2:
        return []
    others = [*texts[1:], texts[0]]
    return [
        passage_scores({"original": own["original"], "regenerated": other["original"]})
        for own, other in zip(texts, others, strict=True)
    ]


def _above(
    scored: Sequence[dict[str, float]], floor: Sequence[dict[str, float]], samples: int
) -> Record | None:
    """The paired test of ROUGE-L against the floor, passage by passage; None without a floor."""
    if not floor:
        return None
    name = "reconstruction.rougeL"
    ours, theirs = [s[name] for s in scored], [s[name] for s in floor]
    found = compare_paired(ours, theirs, samples=samples)
    return {"value": round(found.difference, 4), "low": round(found.low, 4),
            "high": round(found.high, 4), "p": round(found.p_value, 4),
            "shown": found.shown}  # fmt: skip


def passage_scores(row: Record) -> dict[str, float]:
    """Scores of one regenerated passage, by the names of tables and MLflow."""
    found = reconstruction_scores(row["regenerated"], row["original"])
    if "bert_score" in row:
        found["bert_score"] = row["bert_score"]
    return {f"reconstruction.{name}": value for name, value in found.items()}


def reconstruction_parts(summary: dict[str, Any], folder: Path, index: Record) -> list[Record]:
    """What the report shows of each benchmark: its rows, and passages with what came of them."""
    written = read_reconstruction(folder, index)
    questions = read_questions(folder)
    parts = []
    for benchmark in dict.fromkeys(row["benchmark"] for row in summary["reconstruction"]):
        rows = [row for row in summary["reconstruction"] if row["benchmark"] == benchmark]
        own = [(entry["system"], texts) for entry, texts in written
               if entry["benchmark"] == benchmark]  # fmt: skip
        there = {metric for row in rows for metric in row["metrics"]}
        parts.append({
            "name": benchmark,
            "n": max(row["n"] for row in rows),
            "pool": len(gold_passages(b for b in questions if b.name == benchmark)),
            "rows": rows,
            "metrics": [metric for metric in METRICS if metric in there],
            "examples": [_example(number, own) for number in range(min(_SHOWN, len(own[0][1])))],
        })  # fmt: skip
    return parts


def _row(
    benchmark: str,
    system: str,
    stage: str | None,
    scored: Sequence[dict[str, float]],
    samples: int,
) -> Record:
    values: dict[str, list[float]] = {}
    for one in scored:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    metrics = {}
    for name in METRICS:
        if name in values:
            found = bootstrap_mean(values[name], samples=samples)
            metrics[name] = {key: round(getattr(found, key), 4) for key in ("value", "low", "high")}
            if found.n != len(scored):
                metrics[name]["n"] = found.n
    words = WORDS.get(stage or "", "the next held-out passage in its place: the floor")
    return {"benchmark": benchmark, "system": system, "n": len(scored), "words": words,
            "metrics": metrics}  # fmt: skip


def _example(number: int, own: Sequence[tuple[str, list[Record]]]) -> Record:
    return {
        "original": own[0][1][number]["original"],
        "written": [
            {
                "system": system,
                "text": texts[number]["regenerated"],
                "rougeL": passage_scores(texts[number])["reconstruction.rougeL"],
            }
            for system, texts in own
        ],
    }
