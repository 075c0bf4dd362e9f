"""Lexical search over passages in any language: BM25 on words, and on pairs of CJK characters.

What stands in for the learned retriever before stage 3, and what it is measured against.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import bm25s
import numpy as np
import regex

# Scripts whose words no space divides (Hangul has spaces, but its particles stick to the words).
CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー"
_RUN = regex.compile(rf"(?V1)[{CJK}]+|[[\p{{L}}\p{{N}}\p{{M}}]--[{CJK}]]+")
_CJK_RUN = regex.compile(rf"[{CJK}]+")


class Hit(NamedTuple):
    """A passage that was found: its position in the index and its score (higher is closer)."""

    position: int
    score: float


def search_tokens(text: str) -> list[str]:
    """Terms by which passages and questions meet.

    Compatibility forms and case are unified. A run of CJK characters becomes its overlapping pairs
    (a lone character stays), anything else its words; punctuation is dropped.
    """
    tokens: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if len(run) > 1 and _CJK_RUN.fullmatch(run):
            tokens.extend(a + b for a, b in pairwise(run))
        else:
            tokens.append(run)
    return tokens


class Bm25Index:
    """BM25 (Lucene's variant, k1 1.5, b 0.75) over a fixed list of passages.

    Holds numbers only: about 20 bytes for each distinct term of each passage.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Index the passages; a passage is known by its position in `texts`."""
        self.size = len(texts)
        self._vocabulary: dict[str, int] = {}
        flat, self._starts = array("i"), np.zeros(self.size + 1, dtype=np.int64)
        ids = []
        for position, text in enumerate(texts):
            # Token ids in order of first sight: the library's own depend on Python's hash seed.
            known = [
                self._vocabulary.setdefault(t, len(self._vocabulary)) for t in search_tokens(text)
            ]
            ids.append(known)
            flat.extend(dict.fromkeys(known))
            self._starts[position + 1] = len(flat)
        self._terms = np.frombuffer(flat, dtype=np.int32) if flat else np.zeros(0, np.int32)
        self._scores: dict[str, np.ndarray] = {}
        if self._vocabulary:
            bm25 = bm25s.BM25()
            bm25.index(
                bm25s.tokenization.Tokenized(ids=ids, vocab=dict(self._vocabulary)),
                create_empty_token=False,
                show_progress=False,
            )
            self._scores = bm25.scores  # by term: `indptr` into `indices` (passages) and `data`

    def scores(self, query: str) -> np.ndarray:
        """BM25 of every passage, float32, shape (passages,); 0 where no term is shared."""
        total = np.zeros(self.size, dtype=np.float32)
        for token in search_tokens(query):
            term = self._vocabulary.get(token)
            if term is not None:
                start, end = self._scores["indptr"][term : term + 2]
                # A passage stands once under a term, so nothing is added twice to one place.
                total[self._scores["indices"][start:end]] += self._scores["data"][start:end]
        return total

    def search(self, query: str, top_n: int) -> list[Hit]:
        """The `top_n` best passages (fewer only if the index holds fewer), best first.

        Equal scores keep the passages' own order, so the answer is the same on every machine.
        """
        scores = self.scores(query)
        return [Hit(int(i), float(scores[i])) for i in top_positions(scores, top_n)]

    def terms(self, position: int) -> frozenset[int]:
        """The distinct terms of a passage, as numbers of this index."""
        return frozenset(self._terms[self._starts[position] : self._starts[position + 1]].tolist())


# Scores are looked at in runs of so many: only runs that can hold one of the best are sorted.
_RUN_LENGTH = 64


def top_positions(scores: np.ndarray, top_n: int) -> np.ndarray:
    """Positions of the best scores, best first; equal ones in their own order.

    The `top_n`-th best of the runs' maxima is a score that at least `top_n` places reach, so what
    is below it need not be sorted: a fraction of the time of sorting or partitioning everything.

    Args:
        scores: Shape (places,).
        top_n: How many; fewer come back only if there are fewer places.
    """
    whole = len(scores) // _RUN_LENGTH
    if top_n < 1:
        return np.zeros(0, dtype=np.int64)
    if top_n > whole:
        return np.argsort(-scores, kind="stable")[:top_n]
    maxima = scores[: whole * _RUN_LENGTH].reshape(whole, _RUN_LENGTH).max(axis=1)
    bound = np.partition(maxima, whole - top_n)[whole - top_n]
    places = np.flatnonzero(scores >= bound)
    return places[np.argsort(-scores[places], kind="stable")[:top_n]]


def best_first(scores: np.ndarray, start: int = 128) -> Iterator[int]:
    """Places by falling score as far as it is above 0, sorted no further than they are read."""
    found = int(np.count_nonzero(scores > 0))
    done, size = 0, start
    while size < found:
        yield from top_positions(scores, size)[done:].tolist()
        done, size = size, 16 * size
    places = np.flatnonzero(scores > 0)
    yield from places[np.argsort(-scores[places], kind="stable")][done:].tolist()
