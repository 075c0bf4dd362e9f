"""Pool, N and k in one line: what stands at every table of an evaluation, on pages and terminals.

Imports nothing, so that a command's closing tables stay quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Record = dict[str, Any]

# What regenerating takes: nothing is chosen, and nothing else is read.
ALONE = "each is written from its own memory alone: N = k = 1"


def caption(place: Record, summary: Record) -> str:
    """Pool, N, k and n of a table in one line.

    Args:
        place: A benchmark in one setting, as the summary describes it.
        summary: Of an evaluation.
    """
    return f"n = {place['questions']} questions, {pool_words(place, summary)}"


def pool_words(place: Record, summary: Record) -> str:
    """Pool, N and k, for a table whose n is not that of the benchmark."""
    return (
        f"N = {_candidates(place)} candidates each, k = {_k(summary)}; "
        f"pool: {place['pool']['name']}, {place['pool']['size']:,} passages"
    )


def ks_read(summary: Record) -> list[int]:
    """How many documents systems are set to read, each number once; of those that read any."""
    reading = [s["k"] for s in summary["systems"] if s["kind"] != "closed-book"]
    return sorted(set(reading)) or [1]


def place_of(summary: Record, benchmark: str, setting: str) -> Record:
    """Where the candidates of a setting are from; `gold` and `decoy` take theirs from oracle."""
    places = {(place["name"], place["setting"]): place for place in summary["benchmarks"]}
    found: Record = places.get((benchmark, setting)) or places[(benchmark, "oracle")]
    return found


def terminal_lines(summary: Record, rows: Iterable[Record]) -> str:
    """Pool, N and k of everything that a terminal's table shows, a line a benchmark and setting.

    Args:
        summary: Of an evaluation.
        rows: The table's; one without a setting is about passages written anew.
    """
    asked = list(rows)
    places = [
        place_of(summary, row["benchmark"], row["setting"]) for row in asked if "setting" in row
    ]
    lines = [
        f"{place['name']}, {place['setting']}: N = {_candidates(place)}, k = {_k(summary)}; "
        f"pool of {place['pool']['size']:,} ({place['pool']['name']})"
        for place in places
    ]
    if len(places) < len(asked):
        lines.append(f"reconstruction: held-out gold passages; {ALONE}")
    return "\n".join(dict.fromkeys(lines))


def _candidates(place: Record) -> str:
    fewest, most = place["candidates"]["fewest"], place["candidates"]["most"]
    return str(most) if fewest == most else f"{fewest} to {most}"


def _k(summary: Record) -> str:
    return " or ".join(map(str, ks_read(summary)))
