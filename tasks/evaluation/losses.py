"""Loss curves of the stages, read from the training logs."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.storage import Record

_CURVE_POINTS = 300


def read_losses(logs: Path, stages: tuple[str, ...]) -> dict[str, Record]:
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
