"""Questions that were asked before: by their words, and by what they mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from tasks.storage import Record, Reject
from tasks.synthesis.checks import normalise

if TYPE_CHECKING:
    import numpy as np

# Answered ones first: what one passage answers is not unanswerable.
KINDS = ("simple", "complex", "joint", "cross_lingual", "unanswerable")
# More questions than these are compared by meaning only within their document.
_MOST_COMPARED = 50_000
_BLOCK = 2048


def drop_repeated(
    rows: list[Record],
    step: str,
    *,
    embed: Callable[[list[str]], np.ndarray] | None = None,
    max_similarity: float = 1.0,
) -> list[Reject]:
    """Take questions out of the rows that came before; the first passage that asks keeps it.

    Args:
        rows: Rows of `synthesis.jsonl`, changed in place.
        step: Name of the step in the rejects.
        embed: Vectors of questions, shape (questions, dimensions); None: equal wording only.
        max_similarity: Cosine above which two questions are the same.
    """
    places = [
        (row, kind, pair)
        for kinds in (KINDS[:-1], KINDS[-1:])
        for row in rows
        for kind in kinds
        for pair in row[kind]
    ]
    first: dict[str, str] = {}
    faults: dict[int, str] = {}
    for place, (row, _, pair) in enumerate(places):
        plain = normalise(pair["question"])
        if plain in first:
            faults[place] = "asked before"
        first.setdefault(plain, row["passage_id"])
    if embed is not None:
        left = [place for place in range(len(places)) if place not in faults]
        for place, other in _same_meaning(places, left, embed, max_similarity).items():
            faults[place] = f"asked before in other words ({places[other][2]['question']})"
    rejects = []
    for place, fault in sorted(faults.items()):
        row, kind, pair = places[place]
        row[kind] = [kept for kept in row[kind] if kept is not pair]
        rejects.append(Reject(step, f"{row['passage_id']} {kind}", f"{fault}: {pair['question']}"))
    return rejects


def _same_meaning(
    places: list[tuple[Record, str, Record]],
    left: list[int],
    embed: Callable[[list[str]], np.ndarray],
    max_similarity: float,
) -> dict[int, int]:
    """Questions too close to an earlier one of their language, with that one."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place in left:
        row, _, pair = places[place]
        source = "" if len(left) <= _MOST_COMPARED else row["source"]
        groups[pair["language"], source].append(place)
    same: dict[int, int] = {}
    for group in groups.values():
        vectors = embed([places[place][2]["question"] for place in group])
        same |= {group[i]: group[j] for i, j in find_close(vectors, max_similarity).items()}
    return same


def find_close(vectors: np.ndarray, max_similarity: float) -> dict[int, int]:
    """Rows whose cosine with an earlier kept row is above the limit, with that earlier row.

    Args:
        vectors: Shape (rows, dimensions); need not be normalised.
        max_similarity: The limit; a row that is dropped drops no other one.
    """
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    close: dict[int, int] = {}
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK]
        scores = block @ unit[: start + len(block)].T
        for row, column in np.argwhere(scores > max_similarity):
            later, earlier = start + int(row), int(column)
            if earlier < later and earlier not in close:
                close.setdefault(later, earlier)
    return close
