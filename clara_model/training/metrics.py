"""The metric lines of a training run: written by the first rank, read by whoever follows it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class MetricsLog:
    """Appends one JSON line a step to a file.

    Args:
        path: The file.
        last_step: Lines after this step are of a run that was cut off, and are dropped.
        history: The lines up to that step, where the checkpoint has them: the file may be lost.
    """

    def __init__(self, path: Path, last_step: int, history: Sequence[Line] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in history or read_metrics(path) if line["step"] <= last_step]
        partial = path.with_name(f".{path.name}.tmp")
        partial.write_text("".join(map(_dump, kept)), encoding="utf-8")
        os.replace(partial, path)
        self._stream = path.open("a", encoding="utf-8")

    def write(self, line: Line) -> None:
        """Append a step's numbers; those that are not finite become null."""
        self._stream.write(_dump(line))
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_metrics(path: Path) -> list[Line]:
    """All whole lines of a metrics file; a last line torn by a kill is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if text.endswith("\n"):
            lines.append(json.loads(text))
    return lines


def recall(chosen: list[int], gold: list[int]) -> float:
    """Share of the gold documents among the chosen ones, of as many as could be chosen."""
    return len(set(chosen) & set(gold)) / min(len(chosen), len(gold))


def _dump(line: Line) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v
              for k, v in line.items()}  # fmt: skip
    return json.dumps(finite) + "\n"
