"""Answers with citations: a question against an index of compressed passages."""

from __future__ import annotations

from dataclasses import dataclass

from clara_model.errors import DataError
from clara_model.index import Found, PassageIndex
from clara_model.modeling.clara import Clara


@dataclass(frozen=True)
class Citation:
    """A passage that the answer was written from.

    Args:
        passage_id: Its id in passages.jsonl.
        source: Name of the document.
        page: Page in the document, where there are pages.
        heading: Heading above it, if any.
        score: Cosine of question and passage.
        text: The passage.
    """

    passage_id: str
    source: str
    page: int | None
    heading: str
    score: float
    text: str


@dataclass(frozen=True)
class Answer:
    """An answer and what it rests on.

    Args:
        text: The answer.
        citations: The passages that the generator read, best first.
        candidates: All that the index returned, best first; the citations are its head.
    """

    text: str
    citations: tuple[Citation, ...]
    candidates: tuple[Citation, ...]


def answer(
    question: str,
    model: Clara,
    index: PassageIndex,
    *,
    top_n: int = 20,
    max_new_tokens: int = 64,
) -> Answer:
    """Find the passages nearest to a question and answer from the best `generation_top_k`.

    Args:
        question: The question.
        model: A model of stage 3.
        index: Passages compressed by the same model.
        top_n: Candidates taken from the index.
        max_new_tokens: Length limit of the answer.

    Raises:
        DataError: If the question is empty.
    """
    if not question.strip():
        raise DataError("the question is empty; ask something")
    k = model.config.generation_top_k
    found = index.search(model.represent_queries([question]), max(top_n, k))[0]
    memory = index.store.lookup([hit.passage.text for hit in found[:k]])  # (k, n, H)
    text = model.generate_from_memory([question], memory.unsqueeze(0), max_new_tokens)[0].strip()
    candidates = tuple(_cite(hit) for hit in found)
    return Answer(text, candidates[:k], candidates)


def _cite(hit: Found) -> Citation:
    passage = hit.passage
    return Citation(
        passage.id, passage.source, passage.page, passage.heading, hit.score, passage.text
    )
