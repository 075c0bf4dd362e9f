"""Systems around one decoder: closed book, full text, memories; and CLaRa's own retriever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from clara_model.encoding import encode_prompt, slots
from clara_model.errors import DataError
from clara_model.evaluation.systems.batching import in_batches
from clara_model.evaluation.systems.interface import Ranking, distinct_texts, make_ranking
from clara_model.memory import build_memory
from clara_model.modeling.clara import Clara
from clara_model.modeling.retrieval import cosine_scores
from clara_model.prompts import (
    answer_turn,
    full_text_turn,
    list_qa_turn,
    question_line,
    render,
    render_started_answer,
)

# Documents a forward pass: they are short, and nothing is generated.
_COMPRESS_BATCH = 32
# Memories compared at a time: those on disk are read as the comparison walks over them.
_BLOCK = 4096


class Lookup(Protocol):
    """Where memories come from: a `MemoryStore`, or `Memories`."""

    def lookup(self, texts: list[str]) -> Tensor:
        """Memories of documents, (documents, n, H), in their order."""
        ...


@dataclass
class Memories:
    """Memories of documents, each compressed once: on disk where there is a folder, else in memory.

    Args:
        model: Whose compressor.
        folder: Of the memory store; None to keep memories in main memory.
        batch_size: Documents at a time, halved where they do not fit.
    """

    model: Clara
    folder: Path | None = None
    batch_size: int = _COMPRESS_BATCH
    _held: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _store: Lookup | None = field(default=None, repr=False)
    _stored: set[str] = field(default_factory=set, repr=False)

    def prepare(self, texts: Iterable[str]) -> None:
        """Compress those documents that are not there yet, by length and then by text."""
        known = self._held if self.folder is None else self._stored
        missing = sorted(set(texts) - set(known), key=lambda text: (len(text), text))
        if not missing:
            return
        if self.folder is not None:
            self._store = build_memory(self.model, missing, self.folder, batch_size=self.batch_size)
            self._stored.update(missing)
            return
        rows = in_batches(
            [len(text) for text in missing],
            lambda batch: list(
                self.model.compress_documents([missing[i] for i in batch], len(batch)).cpu()
            ),
            self.batch_size,
            where="compressing documents",
        )
        self._held.update(zip(missing, rows, strict=True))

    def lookup(self, texts: list[str]) -> Tensor:
        """Memories of documents, (documents, n, H), in their order; missing ones are made."""
        self.prepare(texts)
        if self._store is not None:
            return self._store.lookup(texts)
        return torch.stack([self._held[text] for text in texts])


@dataclass(frozen=True)
class _ByClara:
    """What generators of one `Clara` model share.

    Args:
        model: The model.
        max_new_tokens: Length limit of an answer.
        batch_size: Questions at a time, halved where they do not fit; None for all that are given.
    """

    model: Clara
    max_new_tokens: int = 64
    batch_size: int | None = field(default=None, kw_only=True)

    def prepare(self, texts: Iterable[str]) -> None:
        """Text is read as it is."""

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Answer, questions of like length together."""
        length = self.max_new_tokens if max_new_tokens is None else max_new_tokens

        def work(batch: list[int]) -> list[str]:
            return self._answer(
                [questions[i] for i in batch], [list(documents[i]) for i in batch], length
            )

        return in_batches(
            self._lengths(questions, documents), work, self.batch_size, where="answering"
        )

    def prompt_tokens(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        """Tokens of each rendered prompt; a memory vector is one."""
        prompts = [self._prompt(q, list(d)) for q, d in zip(questions, documents, strict=True)]
        return [len(encode_prompt(prompt, self.model.tokenizer)) for prompt in prompts]

    def answer_tokens(self, answers: list[str]) -> list[int]:
        """Tokens of answers, with the one that ends them."""
        return [len(encode_prompt(answer, self.model.tokenizer)) + 1 for answer in answers]

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """The texts themselves, in UTF-8."""
        return sum(len(text.encode()) for text in texts)

    def _lengths(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        return [len(q) + sum(map(len, d)) for q, d in zip(questions, documents, strict=True)]

    def _answer(
        self, questions: list[str], documents: list[list[str]], max_new_tokens: int
    ) -> list[str]:
        return self.model.answer_from_full_text(
            questions, documents, max_new_tokens, batch_size=len(questions)
        )

    def _prompt(self, question: str, documents: list[str]) -> str:
        return render(self.model.tokenizer, full_text_turn(documents, question))


@dataclass(frozen=True)
class FullText(_ByClara):
    """The bare decoder, which reads the documents as text."""


@dataclass(frozen=True)
class ClosedBook(_ByClara):
    """The bare decoder, which sees the question alone."""

    def _lengths(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        return [len(question) for question in questions]

    def _answer(
        self, questions: list[str], documents: list[list[str]], max_new_tokens: int
    ) -> list[str]:
        return super()._answer(questions, [[] for _ in questions], max_new_tokens)

    def _prompt(self, question: str, documents: list[str]) -> str:
        return super()._prompt(question, [])

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """Nothing is kept."""
        return 0


@dataclass(frozen=True)
class Compressed:
    """A trained stage, which reads the documents' memories.

    Args:
        model: The stage's checkpoint.
        memories: Holds every document that may be given, or makes it.
        max_new_tokens: Length limit of an answer.
        lists_questions: Stage 1 alone: the model was taught lists of questions with answers.
        batch_size: As in the other systems.
    """

    model: Clara
    memories: Lookup
    max_new_tokens: int = 64
    lists_questions: bool = False
    batch_size: int | None = None

    def prepare(self, texts: Iterable[str]) -> None:
        """Compress what has no memory yet, where memories can be made."""
        if isinstance(self.memories, Memories):
            self.memories.prepare(texts)

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Answer from the documents' memories.

        Raises:
            DataError: If a question has no document.
        """
        length = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        for number, texts in enumerate(documents):
            if not texts:
                raise DataError(
                    f"question {number} has no documents; a system that reads memories needs at "
                    "least one (closed-book answers without)"
                )
        self.prepare(text for texts in documents for text in texts)
        generate = (
            self.model.answer_stage1 if self.lists_questions else self.model.generate_from_memory
        )

        def work(batch: list[int]) -> list[str]:
            memory = torch.stack([self.memories.lookup(list(documents[i])) for i in batch])
            return generate([questions[i] for i in batch], memory, length, batch_size=len(batch))

        # Of one number of documents, because that is how memories are stacked.
        lengths = [(len(d), len(q)) for q, d in zip(questions, documents, strict=True)]
        return in_batches(lengths, work, self.batch_size, where="answering from memories")

    def prompt_tokens(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        """Tokens of each rendered prompt; a memory vector is one."""
        tokenizer = self.model.tokenizer
        counts = []
        for question, texts in zip(questions, documents, strict=True):
            slot = slots(self.model.config, len(texts))
            if self.lists_questions:
                start = question_line(question)
                prompt = render_started_answer(tokenizer, list_qa_turn(slot), start)
            else:
                prompt = render(tokenizer, answer_turn(slot, question))
            counts.append(len(encode_prompt(prompt, tokenizer)))
        return counts

    def answer_tokens(self, answers: list[str]) -> list[int]:
        """Tokens of answers, with the one that ends them."""
        return [len(encode_prompt(answer, self.model.tokenizer)) + 1 for answer in answers]

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """The memories, as they lie on disk."""
        memory = self.memories.lookup(list(texts))
        return memory.numel() * memory.element_size()


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
    batch_size: int = _COMPRESS_BATCH

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
