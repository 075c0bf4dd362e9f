"""What was looked at, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its state, and the remedy where something is missing."""

    what: str
    state: Literal["ok", "note", "missing"]
    detail: str
    remedy: str = ""
