"""What every benchmark becomes: questions with golds, documents, and which of them are gold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

Record = dict[str, Any]


class BadRecord(ValueError):
    """A record that cannot be asked; the message is the reason it is set aside for."""


class Document(NamedTuple):
    """A passage that may be given to a system."""

    title: str
    text: str

    @property
    def full(self) -> str:
        """What a system reads: the title on a line of its own, then the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Sample:
    """One question.

    Args:
        id: Its id in the benchmark; a number of the row where there is none.
        question: The question.
        golds: Accepted answers, the main one first; empty if it cannot be answered.
        documents: The passages that come with it, in the file's order.
        gold_positions: Which of them hold the answer or a step to it.
        kind: The benchmark's own type of question ("bridge", "2hop"), or "".
        answerable: False where the right answer is that there is none.
        extras: What only this benchmark has: supporting facts, evidence, decomposition.
    """

    id: str
    question: str
    golds: tuple[str, ...]
    documents: tuple[Document, ...] = ()
    gold_positions: tuple[int, ...] = ()
    kind: str = ""
    answerable: bool = True
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """A benchmark: where it is from, how its records look, how it is scored.

    Args:
        name: By which it is asked for.
        title: Its own name.
        citation: The paper.
        source: Where the file comes from.
        version: Raised whenever the same file would be read otherwise.
        fields: Fields of a record, and what is made of them.
        metrics: Official answer metrics, the leading one first.
        recognises: Whether a record is of this benchmark.
        read: Makes a sample of a record and its number; raises BadRecord with the reason.
        unfold: Records in a file's content, where they are nested.
        fact_metrics: Official metrics of supporting facts or evidence, for systems that give them.
        companion: Adds to records what a file beside the benchmark's holds.
    """

    name: str
    title: str
    citation: str
    source: str
    version: int
    fields: Mapping[str, str]
    metrics: tuple[str, ...]
    recognises: Callable[[Record], bool]
    read: Callable[[Record, int], Sample]
    unfold: Callable[[Any], Iterable[Any]] | None = None
    fact_metrics: tuple[str, ...] = ()
    companion: Callable[[Path], Callable[[Record], Record] | None] | None = None


class SetAside(NamedTuple):
    """A record that was not taken: where it stands, and why."""

    place: str
    reason: str


@dataclass(frozen=True)
class LoadedBenchmark:
    """The questions of one file.

    Args:
        spec: What benchmark it is.
        path: The file.
        samples: In the file's order.
        set_aside: Records that were not taken, with reasons.
        is_chinese: Whether most questions are written in Chinese.
    """

    spec: Spec
    path: Path
    samples: tuple[Sample, ...]
    set_aside: tuple[SetAside, ...]
    is_chinese: bool

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.spec.name

    @property
    def key(self) -> str:
        """Hash of the samples and of the version by which they were read."""
        digest = hashlib.sha256(f"{self.spec.name}/{self.spec.version}".encode())
        for sample in self.samples:
            digest.update(json.dumps(asdict(sample), sort_keys=True, ensure_ascii=False).encode())
        return digest.hexdigest()

    @property
    def with_all_golds(self) -> int:
        """Questions whose gold documents are all among their own documents."""
        return sum(
            bool(sample.gold_positions) and not sample.extras.get("missing_golds")
            for sample in self.samples
        )


def text_of(record: Record, *names: str) -> str:
    """The first of the named fields that is there, as stripped text.

    Raises:
        BadRecord: If none is, or it is no text, or empty.
    """
    for name in names:
        value = record.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise BadRecord(f"{name} is {_kind(value)}, not a text")
        if not value.strip():
            raise BadRecord(f"{name} is empty")
        return value.strip()
    raise BadRecord(f"{names[0]} is missing")


def answers_of(record: Record, *names: str) -> tuple[str, ...]:
    """Accepted answers: a text, a number or a list of them; blanks and repetitions dropped.

    Raises:
        BadRecord: If none of the named fields holds an answer.
    """
    for name in names:
        value = record.get(name)
        if value is None:
            continue
        found = list_of_texts(value, name)
        if found:
            return found
        raise BadRecord(f"{name} is empty")
    raise BadRecord(f"{names[0]} is missing: without an answer nothing can be scored")


def list_of_texts(value: Any, name: str) -> tuple[str, ...]:
    """Texts of a field that holds one or many, each once.

    Raises:
        BadRecord: If something else is among them.
    """
    items = value if isinstance(value, list) else [value]
    if any(isinstance(i, bool) or not isinstance(i, str | int | float) for i in items):
        raise BadRecord(f"{name} holds something that is neither text nor number")
    return tuple(dict.fromkeys(str(item).strip() for item in items if str(item).strip()))


def id_of(record: Record, number: int, *names: str) -> str:
    """The record's id as text, or one made of its number."""
    for name in names or ("_id", "id"):
        value = record.get(name)
        if isinstance(value, str | int) and str(value):
            return str(value)
    return f"row-{number}"


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return type(value).__name__
