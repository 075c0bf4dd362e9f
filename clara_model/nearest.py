"""Nearest vectors by cosine: exactly in blocks, or through an approximate index; with FAISS.

Neither way holds all vectors in memory: blocks are read as they are compared, and the approximate
index keeps one byte a dimension, of at most `_INDEX_DIM` dimensions.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

log = logging.getLogger(__name__)

_BLOCK_BYTES = 256 << 20
_INDEX_DIM = 512  # longer vectors are projected at random, which keeps angles roughly
_PROBED = 1 / 16  # share of the approximate index's lists that a search reads
_RESCORED = 4  # candidates an approximate search compares exactly, for each one wanted
_SAMPLE_PER_LIST = 64  # vectors that k-means sees for each list
_LEAST_PER_LIST = 39  # fewer, and FAISS finds its centroids poor


class Vectors(Protocol):
    """Many vectors of unit length, wherever they lie."""

    def __len__(self) -> int: ...

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The vectors at some positions, float32, (positions, dimensions)."""
        ...

    def rows(self, start: int, stop: int) -> np.ndarray:
        """The vectors from `start` up to, not including, `stop`."""
        ...


@dataclass(frozen=True)
class ArrayVectors:
    """Vectors in an array in memory or mapped from a file, (vectors, dimensions)."""

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The vectors at some positions."""
        return np.asarray(self.array[positions], dtype=np.float32)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """The vectors of a range, without a copy."""
        return np.asarray(self.array[start:stop], dtype=np.float32)


class NearestSearch:
    """Search over vectors that stay where they are.

    Args:
        vectors: Of unit length, so that their product with a query is the cosine.
        exact_up_to: More vectors than this are searched through an approximate index.
    """

    def __init__(self, vectors: Vectors, exact_up_to: int = 200_000) -> None:
        self.vectors = vectors
        self._find: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]] = self._exactly
        if len(vectors) > exact_up_to:
            self._index, self._project = _approximate_index(vectors)
            self._find = self._approximately

    def search(self, queries: np.ndarray, top_n: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest vectors of each query, nearest first; equal ones by position.

        Args:
            queries: (queries, dimensions), float32, of unit length.
            top_n: At most so many a query.

        Returns:
            Cosines and positions, both (queries, min(top_n, vectors)). An approximate search may
            find fewer: the rest has position -1 and cosine -inf.
        """
        wanted = min(top_n, len(self.vectors))
        return self._find(np.ascontiguousarray(queries, dtype=np.float32), wanted)

    def scores(self, query: np.ndarray) -> np.ndarray:
        """Cosine of one query with every vector, (vectors,)."""
        blocks = _blocks(len(self.vectors), len(query))
        return np.concatenate([self.vectors.rows(*block) @ query for block in blocks])

    def _exactly(self, queries: np.ndarray, top_n: int) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        parts = []
        for block in _blocks(len(self.vectors), queries.shape[1]):
            # What IndexFlatIP does, without its copy of the vectors.
            rows = np.ascontiguousarray(self.vectors.rows(*block))
            found, places = faiss.knn(
                queries, rows, min(top_n, len(rows)), metric=faiss.METRIC_INNER_PRODUCT
            )
            parts.append((found, places + block[0]))
        return _best(
            np.concatenate([scores for scores, _ in parts], axis=1),
            np.concatenate([places for _, places in parts], axis=1),
            top_n,
        )

    def _approximately(self, queries: np.ndarray, top_n: int) -> tuple[np.ndarray, np.ndarray]:
        number = min(_RESCORED * top_n, len(self.vectors))
        _, places = self._index.search(self._project(queries), number)
        scores = np.full(places.shape, -np.inf, dtype=np.float32)
        for row, (query, own) in enumerate(zip(queries, places, strict=True)):
            known = own >= 0
            scores[row, known] = self.vectors.take(own[known]) @ query
        return _best(scores, places, top_n)


def _best(scores: np.ndarray, places: np.ndarray, top_n: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((places, -scores), axis=1)[:, :top_n]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1)


def _blocks(number: int, dim: int) -> list[tuple[int, int]]:
    size = max(1, _BLOCK_BYTES // (4 * dim))
    return [(start, min(start + size, number)) for start in range(0, number, size)]


def _approximate_index(vectors: Vectors) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """Lists of neighbouring vectors, one byte a dimension, and what brings queries into them."""
    import faiss

    number, dim = len(vectors), vectors.take(np.arange(1)).shape[1]
    lists = max(1, min(round(4 * math.sqrt(number)), number // _LEAST_PER_LIST))
    log.info("approximate index of %d vectors in %d lists", number, lists)
    project: Callable[[np.ndarray], np.ndarray] = np.ascontiguousarray
    if dim > _INDEX_DIM:
        rotation = faiss.RandomRotationMatrix(dim, _INDEX_DIM)
        rotation.init(1)
        project = rotation.apply
    index = faiss.index_factory(min(dim, _INDEX_DIM), f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    faiss.ParameterSpace().set_index_parameter(index, "nprobe", max(8, round(lists * _PROBED)))
    drawn = np.random.default_rng(1).choice(
        number, min(number, _SAMPLE_PER_LIST * lists), replace=False
    )
    drawn.sort()
    index.train(
        np.concatenate(
            [project(vectors.take(drawn[start:stop])) for start, stop in _blocks(len(drawn), dim)]
        )
    )
    for block in _blocks(number, dim):
        index.add(project(vectors.rows(*block)))
    return index, project
