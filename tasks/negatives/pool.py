"""Passages that may become candidates, each text once, with what mining asks of them."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from clara_model.retrieval import Bm25Index
from tasks.negatives.answers import plain_text


class PassagePool:
    """Passages by position; two of the same plain text share one, so no row holds a text twice."""

    def __init__(self, passages: Iterable[tuple[str, str, str]]) -> None:
        """Take (id, text, source) triples; positions follow their order."""
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.plain: list[str] = []
        self._sources: list[str] = []
        self._of_source: defaultdict[str, list[int]] = defaultdict(list)
        self._position: dict[str, int] = {}
        by_plain: dict[str, int] = {}
        for passage_id, text, source in passages:
            plain = plain_text(text)
            # A text of signs alone has no plain form: it is told apart as it stands.
            key = plain if plain.strip() else text
            self._position[passage_id] = by_plain.setdefault(key, len(self.ids))
            if by_plain[key] == len(self.ids):
                self._of_source[source].append(len(self.ids))
                self._sources.append(sys.intern(source))
                self.ids.append(passage_id)
                self.texts.append(text)
                self.plain.append(plain)
        self.index = Bm25Index(self.texts)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, passage_id: str) -> bool:
        return passage_id in self._position

    def position(self, passage_id: str) -> int:
        """Where a passage is, or the one whose text it repeats."""
        return self._position[passage_id]

    def neighbours(self, positions: Sequence[int]) -> Iterator[int]:
        """The other passages of the same documents, those that stand closest first."""
        distance: dict[int, int] = {}
        for own in positions:
            for other in self._of_source[self._sources[own]]:
                distance[other] = min(distance.get(other, len(self)), abs(other - own))
        return (p for p in sorted(distance, key=lambda p: (distance[p], p)) if distance[p])
