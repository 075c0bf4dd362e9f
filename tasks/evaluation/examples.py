"""Questions to look at: the documents with golds marked, and every system's answer beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.evaluation.benchmarks import Benchmark
from tasks.evaluation.scores import leading, score_answers
from tasks.storage import Record

_SHOWN = 6
_DOCUMENTS_SHOWN = 6
_RIGHT = 0.5  # from here on an answer counts as right where the metric has shades


def choose_examples(benchmark: Benchmark, answers: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Questions of a benchmark, those first about which the systems disagree most.

    Args:
        benchmark: The questions in one setting.
        answers: Predictions of each system that answers.
    """
    if not answers:
        return []
    lead = leading(benchmark)
    scored = {
        system: score_answers(benchmark, rows).get(lead, {}) for system, rows in answers.items()
    }

    def interest(number: int) -> tuple[float, int]:
        values = [own.get(number, 0.0) for own in scored.values()]
        # Most where half are right; then in the file's order.
        right = sum(value >= _RIGHT for value in values) / len(values)
        return (abs(right - 0.5), number)

    chosen = sorted(range(len(benchmark.samples)), key=interest)[:_SHOWN]
    return [_example(benchmark, number, answers, scored) for number in chosen]


def count_disagreements(
    benchmark: Benchmark, answers: Mapping[str, Sequence[Record]]
) -> tuple[int, int]:
    """Questions that some systems answer rightly and others do not, and all that are scored."""
    lead = leading(benchmark)
    scored = [score_answers(benchmark, rows).get(lead, {}) for rows in answers.values()]
    asked = set.intersection(*(set(own) for own in scored)) if scored else set()
    mixed = sum(len({own[i] >= _RIGHT for own in scored}) > 1 for i in asked)
    return mixed, len(asked)


def _example(
    benchmark: Benchmark,
    number: int,
    answers: Mapping[str, Sequence[Record]],
    scored: Mapping[str, Mapping[int, float]],
) -> Record:
    sample = benchmark.samples[number]
    rows = {system: own[number] for system, own in answers.items()}
    read = {i for row in rows.values() for i in row["documents"]}
    golds = set(sample.positives)
    shown = sorted(read | golds, key=lambda i: (i not in golds, i))[:_DOCUMENTS_SHOWN]
    return {
        "setting": benchmark.pool,
        "question": sample.question,
        "golds": list(sample.golds),
        "candidates": len(sample.candidates),
        "documents": [
            {
                "number": i + 1,
                "text": sample.candidates[i],
                "gold": i in golds,
                "readers": [system for system, row in rows.items() if i in row["documents"]],
            }
            for i in shown
        ],
        "answers": [_told(system, row, scored[system].get(number)) for system, row in rows.items()],
    }


def _told(system: str, row: Record, value: float | None) -> dict[str, Any]:
    return {
        "system": system,
        "answer": row["answer"],
        "score": value,
        "right": value is not None and value >= _RIGHT,
        "read": [i + 1 for i in row["documents"]],
    }
