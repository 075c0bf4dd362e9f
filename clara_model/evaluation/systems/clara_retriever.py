"""CLaRa as a retriever: cosine of a question's representation with documents' memories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clara_model.evaluation.systems.batching import in_batches
from clara_model.evaluation.systems.interface import Ranking, distinct_texts, make_ranking
from clara_model.evaluation.systems.memories import COMPRESS_BATCH, Lookup, Memories
from clara_model.modeling.clara import Clara
from clara_model.modeling.retrieval import cosine_scores

# Memories compared at a time: those on disk are read as the comparison walks over them.
_BLOCK = 4096


@dataclass(frozen=True)
class ClaraRetriever:
    """Cosine of the question's representation with each candidate's memory.

    Args:
        model: The model.
        memories: Holds every candidate, or makes it.
        with_encoder: Read the question with the encoder in place of the query reasoner: what
            stage 3 starts from, and all there is before it.
        batch_size: Questions at a time.
    """

    model: Clara
    memories: Lookup
    with_encoder: bool = False
    batch_size: int = COMPRESS_BATCH

    def prepare(self, texts: Iterable[str]) -> None:
        """Compress what has no memory yet, where memories can be made."""
        if isinstance(self.memories, Memories):
            self.memories.prepare(texts)

    def rank(
        self, questions: list[str], candidates: Sequence[Sequence[str]], top_n: int | None = None
    ) -> list[Ranking]:
        """Each question's candidates by falling cosine."""
        self.prepare(distinct_texts(candidates))
        scores = score_candidates(self._represent(questions), candidates, self.memories)
        return [make_ranking(row, top_n) for row in scores]

    def _represent(self, questions: list[str]) -> Tensor:
        represent = (
            self.model.compress_documents if self.with_encoder else self.model.represent_queries
        )
        rows = in_batches(
            [len(question) for question in questions],
            lambda batch: list(represent([questions[i] for i in batch], len(batch)).flatten(1)),
            self.batch_size,
            where="reading questions",
        )
        return torch.stack(rows)


def score_candidates(
    queries: Tensor, candidates: Sequence[Sequence[str]], memories: Lookup
) -> list[list[float]]:
    """Cosine of each question with each of its candidates.

    Args:
        queries: (B, n * H), from the query reasoner or the encoder.
        candidates: The candidates of each question; their number may differ. A list that many
            questions share is read once.
        memories: Holds every candidate.
    """
    scores: list[list[float]] = [[] for _ in candidates]
    asked_by = defaultdict(list)
    for row, texts in enumerate(candidates):
        asked_by[id(texts)].append(row)
    for rows in asked_by.values():
        texts = candidates[rows[0]]
        for start in range(0, len(texts), _BLOCK):
            block = memories.lookup(list(texts[start : start + _BLOCK])).flatten(1)  # (N, n * H)
            documents = block.to(queries.device).unsqueeze(0)
            for row in rows:
                scores[row] += cosine_scores(queries[row].unsqueeze(0), documents)[0].tolist()
    return scores
