"""The systems that answer questions: closed book, full text, and compressed documents.

All share one decoder. A system is given the documents it may read; which ones is the setting's
business, except for stage 3, which ranks the candidates by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from clara_model.memory import MemoryStore
from clara_model.modeling.clara import Clara
from clara_model.modeling.retrieval import cosine_scores


class System(Protocol):
    """Answers questions from documents."""

    def answer(self, questions: list[str], documents: list[list[str]]) -> list[str]:
        """One answer a question; every question has the same number of documents."""
        ...


@dataclass(frozen=True)
class ClosedBook:
    """The bare decoder, which sees the question alone."""

    model: Clara
    max_new_tokens: int

    def answer(self, questions: list[str], documents: list[list[str]]) -> list[str]:
        """Answer without looking at the documents."""
        return self.model.answer_from_full_text(
            questions, [[] for _ in questions], self.max_new_tokens, batch_size=len(questions)
        )


@dataclass(frozen=True)
class FullText:
    """The bare decoder, which reads the documents as text."""

    model: Clara
    max_new_tokens: int

    def answer(self, questions: list[str], documents: list[list[str]]) -> list[str]:
        """Answer from the documents' text."""
        return self.model.answer_from_full_text(
            questions, documents, self.max_new_tokens, batch_size=len(questions)
        )


@dataclass(frozen=True)
class Compressed:
    """A trained stage, which reads the documents' memories.

    Args:
        model: The stage's checkpoint.
        memories: Holds every document that may be given.
        max_new_tokens: Length limit of an answer.
        lists_questions: Stage 1 alone: the model was taught lists of questions with answers.
    """

    model: Clara
    memories: MemoryStore
    max_new_tokens: int
    lists_questions: bool = False

    def answer(self, questions: list[str], documents: list[list[str]]) -> list[str]:
        """Answer from the documents' memories."""
        memory = torch.stack([self.memories.lookup(texts) for texts in documents])  # (B, k, n, H)
        generate = (
            self.model.answer_stage1 if self.lists_questions else self.model.generate_from_memory
        )
        return generate(questions, memory, self.max_new_tokens, batch_size=len(questions))


def score_candidates(
    queries: Tensor, candidates: Sequence[list[str]], memories: MemoryStore
) -> list[list[float]]:
    """Cosine of each question with each of its candidates.

    Args:
        queries: (B, n * H), from the query reasoner or the encoder.
        candidates: The candidates of each question; their number may differ.
        memories: Holds every candidate.
    """
    scores = []
    for query, texts in zip(queries, candidates, strict=True):
        documents = memories.lookup(texts).flatten(1).to(query.device)  # (N, n * H)
        scores.append(cosine_scores(query.unsqueeze(0), documents.unsqueeze(0))[0].tolist())
    return scores


def rank(scores: Sequence[float]) -> list[int]:
    """Positions by falling score; equal ones keep their order."""
    return sorted(range(len(scores)), key=lambda i: -scores[i])
