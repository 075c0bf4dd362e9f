"""Questions to look at: the documents with golds marked, and every system's answer beside them."""

from __future__ import annotations

from typing import Any

from clara_model.evaluation.metrics import score
from tasks.evaluation.jobs import BARE, STAGES, prediction_path
from tasks.storage import Record, read_records
from tasks.workspace import Workspace

_SHOWN = 6
_DOCUMENTS_SHOWN = 6
_SYSTEMS = (*BARE, *STAGES)


def choose_examples(workspace: Workspace, benchmark: str) -> list[Record]:
    """Questions of a benchmark, those first about which the systems disagree most.

    Taken from the oracle setting, or from normal where that is all there is.
    """
    folder = workspace.world / "benchmark" if benchmark == "world" else workspace.benchmark
    for setting in ("oracle", "normal"):
        answers = _answers(workspace, benchmark, setting)
        if answers:
            break
    else:
        return []
    candidates = [row["docs"] for row in read_records(folder / f"{setting}.jsonl")]
    count = min(len(candidates), *(len(rows) for rows in answers.values()))
    right = {
        system: [score("open.em", row["answer"], row["golds"]) for row in rows]
        for system, rows in answers.items()
    }

    def interest(number: int) -> tuple[bool, int]:
        scores = {right[system][number] for system in right}
        return (len(scores) < 2, number)

    chosen = sorted(range(count), key=interest)[:_SHOWN]
    return [_example(number, setting, candidates[number], answers, right) for number in chosen]


def _answers(workspace: Workspace, benchmark: str, setting: str) -> dict[str, list[Record]]:
    """Predictions by system, of the systems that were asked."""
    paths = {s: prediction_path(workspace, benchmark, setting, s) for s in _SYSTEMS}
    return {system: read_records(path) for system, path in paths.items() if path.is_file()}


def _example(
    number: int,
    setting: str,
    candidates: list[str],
    answers: dict[str, list[Record]],
    right: dict[str, list[float]],
) -> Record:
    rows = {system: own[number] for system, own in answers.items()}
    first: Record = next(iter(rows.values()))
    read: set[int] = {i for row in rows.values() for i in row["documents"]}
    shown = sorted(read | set(first["positives"]), key=lambda i: (i not in first["positives"], i))[
        :_DOCUMENTS_SHOWN
    ]
    return {
        "setting": setting,
        "question": first["question"],
        "golds": first["golds"],
        "candidates": len(candidates),
        "documents": [
            {"number": i + 1, "text": candidates[i], "gold": i in first["positives"]} for i in shown
        ],
        "answers": [_told(system, row, right[system][number]) for system, row in rows.items()],
    }


def _told(system: str, row: Record, right: float) -> dict[str, Any]:
    return {
        "system": system,
        "answer": row["answer"],
        "right": right == 1.0,
        "read": [i + 1 for i in row["documents"]],
    }
