"""Documents longer than a model reads: how many questions they belong to, and what was lost."""

from __future__ import annotations

from collections.abc import Sequence

from clara_model.evaluation.metrics import score
from tasks.evaluation.benchmarks import Benchmark
from tasks.storage import Record


def count_cut(
    benchmarks: Sequence[Benchmark],
    predictions: Sequence[tuple[Record, list[Record]]],
    systems: Sequence[Record],
) -> list[Record]:
    """One entry a (benchmark, setting, system) whose documents were cut; none where none was.

    Args:
        benchmarks: The questions with their candidates.
        predictions: Each job's entry of the index, and its predictions.
        systems: Of `Entrant.describe`.

    Returns:
        `questions`; of these `cut`, with a cut document among those read; `lost`, where an accepted
        answer stands in what was given, and in nothing that was read; `limit` in tokens.
    """
    limits = {system["id"]: system.get("doc_max_length") for system in systems}
    texts = {(b.name, b.pool): [sample.candidates for sample in b.samples] for b in benchmarks}
    entries = []
    for job, rows in predictions:
        candidates = texts[(job["benchmark"], job["pool"])]
        cut = [i for i, row in enumerate(rows) if row.get("cut")]
        if cut:
            lost = sum(_is_lost(rows[i], candidates[i]) for i in cut)
            place = {name: job[name] for name in ("benchmark", "setting", "system")}
            entries.append({**place, "questions": len(rows), "cut": len(cut), "lost": lost,
                            "limit": limits[job["system"]]})  # fmt: skip
    return entries


def _is_lost(row: Record, candidates: Sequence[str]) -> bool:
    golds = row["golds"]
    if not golds:
        return False
    given = [candidates[i] for i in row["documents"]]
    read = [candidates[i][: row["cut"].get(str(i))] for i in row["documents"]]
    return _holds(given, golds) and not _holds(read, golds)


def _holds(texts: Sequence[str], golds: Sequence[str]) -> bool:
    return any(score("open.contains", text, golds) for text in texts)
