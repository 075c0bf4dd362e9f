"""Retrievers that are not CLaRa: BM25, a dense bi-encoder, a cross-encoder over what came before.

The neural ones come from sentence-transformers, which is optional (`clara-pipeline[retrieval]`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clara_model.errors import CheckpointError, ConfigError
from clara_model.evaluation.systems.batching import in_batches
from clara_model.evaluation.systems.interface import (
    Ranking,
    Retriever,
    distinct_texts,
    make_ranking,
)
from clara_model.retrieval import Bm25Index


@dataclass(frozen=True)
class Bm25:
    """BM25 over all candidates of all questions together, as over a corpus."""

    def prepare(self, texts: Iterable[str]) -> None:
        """Nothing: the statistics are those of the candidates asked about."""

    def rank(
        self, questions: list[str], candidates: Sequence[Sequence[str]], top_n: int | None = None
    ) -> list[Ranking]:
        """Each question's candidates by falling BM25."""
        pool = distinct_texts(candidates)
        place = {text: i for i, text in enumerate(pool)}
        index = Bm25Index(pool)
        rows: dict[int, list[int]] = {}
        rankings = []
        for question, texts in zip(questions, candidates, strict=True):
            own = rows.setdefault(id(texts), [place[text] for text in texts])
            rankings.append(make_ranking(index.scores(question)[own].tolist(), top_n))
        return rankings


@dataclass(frozen=True)
class Dense:
    """A bi-encoder of sentence-transformers: cosine of two normalised embeddings.

    Args:
        model: A `SentenceTransformer`. Prompts named "query" and "document" in its configuration
            are used.
        batch_size: Texts at a time, halved where they do not fit.
    """

    model: Any
    batch_size: int = 64
    _held: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def prepare(self, texts: Iterable[str]) -> None:
        """Embed those texts that are not embedded yet."""
        missing = sorted(set(texts) - set(self._held), key=lambda text: (len(text), text))
        if missing:
            self._held.update(zip(missing, self._embed(missing, "document"), strict=True))

    def rank(
        self, questions: list[str], candidates: Sequence[Sequence[str]], top_n: int | None = None
    ) -> list[Ranking]:
        """Each question's candidates by falling cosine."""
        self.prepare(distinct_texts(candidates))
        matrices: dict[int, np.ndarray] = {}
        rankings = []
        for query, texts in zip(self._embed(questions, "query"), candidates, strict=True):
            if id(texts) not in matrices:
                matrices = {id(texts): np.stack([self._held[text] for text in texts])}
            rankings.append(make_ranking((matrices[id(texts)] @ query).tolist(), top_n))
        return rankings

    def _embed(self, texts: Sequence[str], role: str) -> list[np.ndarray]:
        prompt = role if self.model.prompts.get(role) else None

        def work(batch: list[int]) -> list[np.ndarray]:
            return list(
                self.model.encode(
                    [texts[i] for i in batch],
                    prompt_name=prompt,
                    batch_size=len(batch),
                    normalize_embeddings=True,
                    convert_to_numpy=True,
                    show_progress_bar=False,
                ).astype(np.float32)
            )

        return in_batches([len(t) for t in texts], work, self.batch_size, where="embedding")


@dataclass(frozen=True)
class Reranker:
    """A cross-encoder of sentence-transformers, such as bge-reranker, over another's best.

    Args:
        model: A `CrossEncoder`.
        first: Ranks all candidates; None to score every candidate.
        depth: Candidates of `first` that are read again; the rest keep their order behind them.
        batch_size: Pairs at a time, halved where they do not fit.
    """

    model: Any
    first: Retriever | None = None
    depth: int = 20
    batch_size: int = 32

    def prepare(self, texts: Iterable[str]) -> None:
        """What the first retriever needs."""
        if self.first is not None:
            self.first.prepare(texts)

    def rank(
        self, questions: list[str], candidates: Sequence[Sequence[str]], top_n: int | None = None
    ) -> list[Ranking]:
        """Each question's candidates by falling score of question and text read together.

        Those beyond `depth` follow in the first retriever's order, below every score given.
        """
        if self.first is None:
            orders = [list(range(len(texts))) for texts in candidates]
            depth = max(map(len, orders), default=0)
        else:
            orders = [found.order for found in self.first.rank(questions, candidates)]
            depth = self.depth
        pairs = [(row, position) for row, order in enumerate(orders) for position in order[:depth]]
        texts = [(questions[row], candidates[row][position]) for row, position in pairs]
        scores: list[dict[int, float]] = [{} for _ in orders]
        for (row, position), score in zip(pairs, self._score(texts), strict=True):
            scores[row][position] = score
        return [_merge(order, own, top_n) for order, own in zip(orders, scores, strict=True)]

    def _score(self, pairs: list[tuple[str, str]]) -> list[float]:
        def work(batch: list[int]) -> list[float]:
            found = self.model.predict(
                [pairs[i] for i in batch], batch_size=len(batch), show_progress_bar=False
            )
            return [float(value) for value in np.asarray(found).reshape(len(batch), -1)[:, 0]]

        lengths = [len(question) + len(text) for question, text in pairs]
        return in_batches(lengths, work, self.batch_size, where="reranking")


def open_dense(model_id: str, *, device: str | None, trust_remote_code: bool) -> Dense:
    """A bi-encoder from a folder or the hub."""
    return Dense(_load("SentenceTransformer", model_id, device, trust_remote_code))


def open_reranker(
    model_id: str,
    first: Retriever | None,
    depth: int,
    *,
    device: str | None,
    trust_remote_code: bool,
) -> Reranker:
    """A cross-encoder from a folder or the hub, behind another retriever."""
    return Reranker(_load("CrossEncoder", model_id, device, trust_remote_code), first, depth)


def _load(kind: str, model_id: str, device: str | None, trust_remote_code: bool) -> Any:
    try:
        import sentence_transformers
    except ImportError as err:
        raise ConfigError(
            f"{model_id}: a dense retriever or reranker needs sentence-transformers; "
            "pip install 'clara-pipeline[retrieval]'"
        ) from err
    try:
        return getattr(sentence_transformers, kind)(
            model_id, device=device or "cpu", trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as err:
        raise CheckpointError(
            f"{model_id}: cannot load as a {kind}: {str(err).splitlines()[0]}; give a folder or a "
            "hub id of a sentence-transformers model"
        ) from err


def _merge(order: list[int], scores: dict[int, float], top_n: int | None) -> Ranking:
    """Reread candidates by score, then the others in their old order."""
    head = sorted((p for p in order if p in scores), key=lambda p: -scores[p])
    tail = [p for p in order if p not in scores]
    floor = min(scores.values(), default=0.0)
    values = [scores[p] for p in head] + [floor - 1 - i for i in range(len(tail))]
    whole = head + tail
    return Ranking(whole[:top_n], values[:top_n])
