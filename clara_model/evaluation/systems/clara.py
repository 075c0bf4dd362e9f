"""Generators around one decoder: closed book, full text, and documents' memories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch

from clara_model.encoding import encode_prompt, slots
from clara_model.errors import DataError
from clara_model.evaluation.systems.batching import in_batches
from clara_model.evaluation.systems.cutting import characters_read
from clara_model.evaluation.systems.memories import Lookup, Memories
from clara_model.modeling.clara import Clara
from clara_model.prompts import (
    answer_turn,
    full_text_turn,
    list_qa_turn,
    question_line,
    render,
    render_started_answer,
)


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

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """The texts themselves, in UTF-8."""
        return sum(len(text.encode()) for text in texts)

    def unprepared(self) -> _ByClara:
        """Itself: nothing is prepared."""
        return self

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

    def characters_read(self, documents: Sequence[str]) -> list[int | None]:
        """Characters of each document that its memory is made of; None for all of them."""
        return characters_read(documents, self.model.tokenizer, self.model.config)

    def regenerate(self, documents: Sequence[str], max_new_tokens: int) -> list[str]:
        """Each document written anew from its memory alone, asked for as stage 1 learns it."""

        def work(batch: list[int]) -> list[str]:
            texts = [[documents[i]] for i in batch]
            return self.model.generate_from_paraphrase(
                ["" for _ in batch], texts, max_new_tokens, batch_size=len(batch)
            )

        lengths = [len(text) for text in documents]
        return in_batches(lengths, work, self.batch_size, where="regenerating documents")

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

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """The memories, as they lie on disk."""
        memory = self.memories.lookup(list(texts))
        return memory.numel() * memory.element_size()

    def unprepared(self) -> Compressed:
        """A copy without memories, which it would keep in main memory."""
        return replace(self, memories=Memories(self.model))
