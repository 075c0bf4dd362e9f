"""The strategies that rank passages: by words (BM25), and by vectors (embeddings, memories)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from clara_model.nearest import NearestSearch
from clara_model.retrieval import best_first
from tasks.negatives.mine import Asked, Ranking
from tasks.negatives.pool import PassagePool

# Rankings of a block of questions, made one by one as they are read: each may be as long as the
# pool.
Strategy = Callable[[Sequence[Asked]], Iterator[Ranking]]

# Neighbours that a search finds beside the negatives wanted: some turn out to be positives. Up to
# a hundred in all, FAISS keeps pace with the matrix product.
_SPARE = 40


@dataclass(frozen=True)
class WordRanking:
    """BM25 of every passage; what shares no word with the question is not ranked."""

    scores: np.ndarray

    def order(self) -> Iterator[int]:
        """Passages by falling score."""
        return best_first(self.scores)

    def score(self, position: int) -> float:
        """BM25 of a passage."""
        return float(self.scores[position])


@dataclass
class VectorRanking:
    """Passages by cosine: those that a search found, then all others if they are asked for."""

    search: NearestSearch
    query: np.ndarray
    found: np.ndarray
    cosines: dict[int, float] = field(default_factory=dict)

    def order(self) -> Iterator[int]:
        """Passages by falling cosine."""
        yield from self.found.tolist()
        # Seldom reached: where nearly all that is near turned out to be too close.
        scores = self.search.scores(self.query)
        self.cosines = dict(enumerate(scores.tolist()))
        near = set(self.found.tolist())
        yield from (p for p in np.argsort(-scores, kind="stable").tolist() if p not in near)

    def score(self, position: int) -> float:
        """Cosine of a passage with the question."""
        if position not in self.cosines:
            vector = self.search.vectors.take(np.array([position]))[0]
            self.cosines[position] = float(vector @ self.query)
        return self.cosines[position]


def by_words(pool: PassagePool) -> Strategy:
    """BM25 of the question."""

    def rank(block: Sequence[Asked]) -> Iterator[Ranking]:
        return (WordRanking(pool.index.scores(asked.question)) for asked in block)

    return rank


def by_vectors(
    search: NearestSearch, represent: Callable[[list[str]], np.ndarray], count: int
) -> Strategy:
    """Nearness of the question's vector to the passages'.

    Args:
        search: Over the pool's passages.
        represent: Vectors of questions, (questions, dimensions), of unit length.
        count: Negatives wanted of each question.
    """

    def rank(block: Sequence[Asked]) -> Iterator[Ranking]:
        queries = represent([asked.question for asked in block])
        scores, places = search.search(queries, count + _SPARE)
        for query, row, own in zip(queries, scores, places, strict=True):
            known = own >= 0
            cosines = dict(zip(own[known].tolist(), row[known].tolist(), strict=True))
            yield VectorRanking(search, query, own[known], cosines)

    return rank
