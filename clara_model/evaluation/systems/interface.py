"""What every system of the evaluation can do: rank candidates, answer from documents.

Nothing here imports torch, so that names, settings and keys are known where no model is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from clara_model.errors import ConfigError


class Ranking(NamedTuple):
    """Candidates of one question by falling score.

    `order` holds positions, best first; `scores` the score of each ranked position, in that order.
    """

    order: list[int]
    scores: list[float]


class Retriever(Protocol):
    """Ranks candidates."""

    def prepare(self, texts: Iterable[str]) -> None:
        """Do once what each document needs (embed it, compress it); may be called often."""
        ...

    def rank(
        self, questions: list[str], candidates: Sequence[Sequence[str]], top_n: int | None = None
    ) -> list[Ranking]:
        """Each question's candidates, best first, at most `top_n` of them.

        Candidates may differ in number. Where many questions share one pool, pass the same list
        object for each: it is then read once.
        """
        ...


class Generator(Protocol):
    """Writes answers."""

    def prepare(self, texts: Iterable[str]) -> None:
        """Do once what each document needs (compress it); may be called often."""
        ...

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """One answer a question, greedily; None for the generator's own length limit.

        Questions may have different numbers of documents.
        """
        ...

    def prompt_tokens(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        """Positions that the generator reads for each question, memories and template included."""
        ...

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """Bytes that have to be kept of some documents to answer from them."""
        ...

    def unprepared(self) -> Generator:
        """A copy that has prepared no document, to time preparing; itself where nothing is."""
        ...


@dataclass(frozen=True)
class System:
    """A generator, with a retriever of its own or without.

    Args:
        name: What reports call it.
        generator: Writes the answers.
        retriever: Ranks the candidates; None where the setting says which documents are given.
        k: Documents that the generator reads.
        settings: JSON values: everything that decides rankings and answers.
    """

    name: str
    generator: Generator
    retriever: Retriever | None = None
    k: int = 5
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Hash of the settings, for cached predictions."""
        return settings_key(self.settings)

    @property
    def slug(self) -> str:
        """The name as a part of file names and metric keys."""
        return slug(self.name)

    @property
    def retrieves(self) -> bool:
        """Whether it ranks candidates by itself."""
        return self.retriever is not None

    def prepare(self, texts: Iterable[str]) -> None:
        """Do once what each document needs, for retriever and generator."""
        distinct = list(dict.fromkeys(texts))
        if self.retriever is not None:
            self.retriever.prepare(distinct)
        self.generator.prepare(distinct)

    def retrieve(
        self,
        questions: list[str],
        candidates: Sequence[str] | Sequence[Sequence[str]],
        top_n: int | None = None,
    ) -> list[Ranking]:
        """Rank each question's candidates, or one pool that all questions share.

        Args:
            questions: The questions.
            candidates: A list of texts for each question, or a single list of texts: the pool.
            top_n: At most so many a question; None for all.

        Raises:
            ConfigError: If the system has no retriever.
        """
        if self.retriever is None:
            raise ConfigError(
                f"{self.name} does not retrieve; give its documents, or put a retriever in front "
                f"of it, such as bm25+{self.name}"
            )
        return self.retriever.rank(questions, _by_question(candidates, len(questions)), top_n)

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """One answer a question, from the documents given for it, in their order."""
        return self.generator.answer(questions, documents, max_new_tokens)


def rank(scores: Sequence[float]) -> list[int]:
    """Positions by falling score; equal ones keep their order."""
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def make_ranking(scores: Sequence[float], top_n: int | None = None) -> Ranking:
    """Candidates' scores, by position, as a ranking."""
    order = rank(scores)[:top_n]
    return Ranking(order, [float(scores[i]) for i in order])


def distinct_texts(candidates: Sequence[Sequence[str]]) -> list[str]:
    """All candidates once, in the order of first sight; a shared pool is walked once."""
    lists = {id(texts): texts for texts in candidates}.values()
    return list(dict.fromkeys(text for texts in lists for text in texts))


def settings_key(settings: dict[str, Any]) -> str:
    """Hash of JSON values."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def slug(name: str) -> str:
    """A name with nothing in it but letters, digits, dots, hyphens and underscores."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.") or "system"


def _by_question(
    candidates: Sequence[str] | Sequence[Sequence[str]], count: int
) -> list[Sequence[str]]:
    if candidates and isinstance(candidates[0], str):
        pool: Any = candidates
        return [pool] * count
    return list(candidates)
