"""Lexical search over passages in any language: BM25 on words, and on pairs of CJK characters.

What stands in for the learned retriever before stage 3, and what it is measured against.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
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
    """BM25 (Lucene's variant, k1 1.5, b 0.75) over a fixed list of passages, all in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Index the passages; a passage is known by its position in `texts`."""
        self.size = len(texts)
        self._vocabulary: dict[str, int] = {}
        ids = [
            [self._vocabulary.setdefault(t, len(self._vocabulary)) for t in search_tokens(text)]
            for text in texts
        ]
        self._bm25: bm25s.BM25 | None = None
        if self._vocabulary:
            self._bm25 = bm25s.BM25()
            # Token ids in order of first sight: the library's own depend on Python's hash seed.
            self._bm25.index(
                bm25s.tokenization.Tokenized(ids=ids, vocab=dict(self._vocabulary)),
                create_empty_token=False,
                show_progress=False,
            )

    def scores(self, query: str) -> np.ndarray:
        """BM25 of every passage, float32, shape (passages,); 0 where no term is shared."""
        known = [self._vocabulary[t] for t in search_tokens(query) if t in self._vocabulary]
        if self._bm25 is None or not known:
            return np.zeros(self.size, dtype=np.float32)
        return self._bm25.get_scores_from_ids(known)

    def search(self, query: str, top_n: int) -> list[Hit]:
        """The `top_n` best passages (fewer only if the index holds fewer), best first.

        Equal scores keep the passages' own order, so the answer is the same on every machine.
        """
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:top_n]
        return [Hit(int(i), float(scores[i])) for i in order]
