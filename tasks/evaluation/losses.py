"""Loss curves of the stages, read from the training logs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.evaluation.entrants import Entrant
from tasks.storage import Record
from tasks.workspace import Workspace

# In the order of training.
LOGGED = ("base", "stage1", "stage2", "stage3")
_CURVE_POINTS = 300


def trained_here(entrants: Iterable[Entrant], workspace: Workspace) -> list[str]:
    """The workspace's own stages among the models that take part; foreign folders have no log."""
    models = {
        Path(part.model).resolve() for one in entrants for part in one.plan.parts if part.model
    }
    return [stage for stage in LOGGED if (workspace.models / stage).resolve() in models]


def read_losses(logs: Path, stages: Sequence[str]) -> dict[str, Record]:
    """Steps, first and last loss and a thinned curve of every stage that has a log."""
    found = {stage: _points(logs / stage / "metrics.jsonl") for stage in stages}
    return {stage: _describe(points) for stage, points in found.items() if points}


def _points(path: Path) -> list[tuple[int, float]]:
    """(step, loss); of a step done twice (after a kill) the last counts."""
    if not path.is_file():
        return []
    points: dict[int, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # torn by a kill
        if record.get("loss") is not None:
            points[int(record["step"])] = float(record["loss"])
    return sorted(points.items())


def _describe(points: list[tuple[int, float]]) -> Record:
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
