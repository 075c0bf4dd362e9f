"""The CLaRa paper's own figures, to stand beside ours, always labelled as theirs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tasks.storage import Record

_FILE = Path(__file__).parent / "published.json"


@cache
def published() -> dict[str, Any]:
    """All that is transcribed: citation, conditions, answers, retrieval, efficiency."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def published_rows(kind: str, benchmark: str, setting: str) -> list[Record]:
    """Rows of one benchmark and setting.

    Args:
        kind: "answers" or "retrieval".
        benchmark: As in the registry; most have no published rows.
        setting: "normal" or "oracle".

    Returns:
        `system`, `table`, and `metrics` as shares of one, by our names of metrics.
    """
    return [
        {
            "system": row["system"],
            "table": row["table"],
            "metrics": {name: value / 100 for name, value in row["values"][benchmark].items()},
        }
        for row in published()[kind]
        if row["setting"] == setting and benchmark in row["values"]
    ]
