"""Which documents are versions of each other: they must fall on the same side of the split."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations

from tasks.negatives.answers import plain_text

# So much of the smaller document's wording in the larger one makes them versions of one text.
ALIKE = 0.5
_SHINGLE = 5  # words, or CJK signs
_LEAST = 8  # shingles in common; fewer are a letterhead or a formula of words
_SKETCH = 4_000_000  # shingles kept over all documents, about
# Wording that stands in so many documents is boilerplate; what else they share decides.
_COMMON = 50


def group_alike(texts: Mapping[str, str]) -> list[list[str]]:
    """Documents in groups of versions of one text, most of them alone.

    Two are alike if half of the smaller one's wording (runs of five words) stands in the other, and
    groups close over that. Large corpora are compared by a sample of the runs, the same in every
    document.

    Args:
        texts: Text by name.

    Returns:
        Sorted groups of sorted names; every name once.
    """
    names = sorted(texts)
    rate = max(1, sum(map(len, texts.values())) // (6 * _SKETCH))
    holders: dict[int, list[int]] = defaultdict(list)
    sizes = []
    for number, name in enumerate(names):
        shingles = _shingles(texts[name], rate)
        sizes.append(len(shingles))
        for shingle in shingles:
            holders[shingle].append(number)
    shared: Counter[tuple[int, int]] = Counter()
    leader = list(range(len(names)))
    for numbers in holders.values():
        if len(numbers) <= _COMMON:
            shared.update(combinations(numbers, 2))
    for (a, b), count in shared.items():
        if count * rate >= _LEAST and count >= ALIKE * min(sizes[a], sizes[b]):
            _join(leader, a, b)
    _join_equal(names, texts, leader)
    groups: dict[int, list[str]] = defaultdict(list)
    for number, name in enumerate(names):
        groups[_find(leader, number)].append(name)
    return sorted(groups.values())


def _shingles(text: str, rate: int) -> set[int]:
    words = plain_text.__wrapped__(text).split()
    runs = (" ".join(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1))
    return {key for run in runs if (key := zlib.crc32(run.encode())) % rate == 0}


def _join_equal(names: list[str], texts: Mapping[str, str], leader: list[int]) -> None:
    """The same text throughout, however often and however short it is."""
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        words = " ".join(texts[name].split())
        if words:
            _join(leader, first.setdefault(words, number), number)


def _find(leader: list[int], number: int) -> int:
    while leader[number] != number:
        leader[number] = leader[leader[number]]
        number = leader[number]
    return number


def _join(leader: list[int], a: int, b: int) -> None:
    a, b = _find(leader, a), _find(leader, b)
    leader[max(a, b)] = min(a, b)
