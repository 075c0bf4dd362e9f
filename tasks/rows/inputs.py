"""What the rows are made of: passages and synthesis, checked, each text and question once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clara_model.errors import DataError
from clara_model.rows import read_jsonl
from tasks.negatives.answers import plain_text
from tasks.storage import Reject

STEP = "mine"
Kind = Literal["simple_qa", "complex_qa", "cross_lingual_qa", "joint_qa", "unanswerable"]
Side = Literal["train", "benchmark"]


class _Input(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _PassageLine(_Input):
    """One line of passages.jsonl, as far as rows need it."""

    id: str
    source: str
    text: str
    language: str = ""
    split: Side
    page: int | None = None


class _Pair(_Input):
    question: str
    answer: str
    language: str | None = None
    requests: list[str] = []
    passage_ids: list[str] = []


class _Synthesis(_Input):
    """One line of synthesis.jsonl, as far as rows need it."""

    passage_id: str
    simple: list[_Pair] = []
    complex: list[_Pair] = []
    cross_lingual: list[_Pair] = []
    joint: list[_Pair] = []
    unanswerable: list[_Pair] = []
    paraphrase: str | None = None
    paraphrase_requests: list[str] = []
    provider: str = ""
    model: str = ""
    verification_model: str | None = None
    prompt_version: str | int = ""

    def asked(self) -> list[tuple[Kind, _Pair]]:
        """Every pair with its kind, simple ones first."""
        lists: tuple[tuple[Kind, list[_Pair]], ...] = (
            ("simple_qa", self.simple),
            ("complex_qa", self.complex),
            ("cross_lingual_qa", self.cross_lingual),
            ("joint_qa", self.joint),
            ("unanswerable", self.unanswerable),
        )
        return [(kind, pair) for kind, pairs in lists for pair in pairs]


# Many at once: without the dictionaries that a pydantic model has.
@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that rows may be about."""

    id: str
    source: str
    text: str
    language: str
    split: Side
    page: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer, the passages it was asked about, and where it came from.

    The passages hold the answer, unless `kind` is "unanswerable".
    """

    kind: Kind
    question: str
    answer: str
    language: str
    passages: tuple[Passage, ...]
    requests: tuple[str, ...]
    made_by: dict[str, Any]

    @property
    def is_answerable(self) -> bool:
        """Whether the passages hold the answer."""
        return self.kind != "unanswerable"


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage with the questions that are kept for it, and its paraphrase."""

    passage: Passage
    questions: tuple[Question, ...]
    paraphrase: str | None
    paraphrase_requests: tuple[str, ...]
    made_by: dict[str, Any]


@dataclass(frozen=True)
class Material:
    """Everything that rows are made of, by side of the split, and what was set aside."""

    passages: dict[Side, list[Passage]]
    entries: dict[Side, list[Entry]]
    rejects: list[Reject] = field(default_factory=list)

    def questions(self, side: Side) -> list[Question]:
        """Every question of one side."""
        return [question for entry in self.entries[side] for question in entry.questions]


def read_material(passages_path: Path, synthesis_path: Path) -> Material:
    """Read both files; set aside what would double or leak.

    A text or question that stands on both sides of the split stays in the benchmark and leaves
    the training side; one that repeats on the same side stays where it came first.

    Raises:
        DataError: If a file is missing or malformed, or names a passage twice; the message names
            file, line and field.
    """
    rejects: list[Reject] = []
    passages = distinct_passages(passages_path, rejects)
    kept = {p.id: p for side in passages.values() for p in side}
    set_aside = {reject.item for reject in rejects}
    entries: dict[Side, list[Entry]] = {"benchmark": [], "train": []}
    asked: dict[bytes, str] = {}
    makers: dict[tuple[Any, ...], dict[str, Any]] = {}
    # Twice over the file: what the benchmark asks is known before the training side is read.
    for side in entries:
        for row in _read(synthesis_path, _Synthesis):
            passage = kept.get(row.passage_id)
            if passage is not None and passage.split == side:
                entries[side].append(_entry(passage, row, kept, asked, makers, rejects))
            elif passage is None and side == "benchmark" and row.passage_id not in set_aside:
                reason = f"{synthesis_path.name} names a passage that is not in "
                rejects.append(Reject(STEP, row.passage_id, reason + passages_path.name))
    return Material(passages, entries, rejects)


def distinct_passages(path: Path, rejects: list[Reject]) -> dict[Side, list[Passage]]:
    """The passages of each side, each text once; what is set aside is added to `rejects`."""
    rows = [
        Passage(line.id, sys.intern(line.source), line.text, sys.intern(line.language),
                line.split, line.page)
        for line in _read(path, _PassageLine)
    ]  # fmt: skip
    ids: set[str] = set()
    for row in rows:
        if row.id in ids:
            raise DataError(f"{path}: passage id {row.id} stands twice; run the step again")
        ids.add(row.id)
    first: dict[bytes, Passage] = {}
    sides: dict[Side, list[Passage]] = {"benchmark": [], "train": []}
    for row in sorted(rows, key=lambda row: row.split != "benchmark"):
        plain = plain_text(row.text)
        other = first.setdefault(_digest(plain), row)
        if not plain.strip():
            rejects.append(Reject(STEP, row.id, "passage without a word"))
        elif other is not row:
            rejects.append(Reject(STEP, row.id, f"same text as {other.split} passage {other.id}"))
        else:
            sides[row.split].append(row)
    return sides


def _entry(
    passage: Passage,
    row: _Synthesis,
    kept: dict[str, Passage],
    asked: dict[bytes, str],
    makers: dict[tuple[Any, ...], dict[str, Any]],
    rejects: list[Reject],
) -> Entry:
    who = (row.provider, row.model, row.verification_model, row.prompt_version)
    made_by = makers.setdefault(who, _made_by(row))
    questions = []
    for kind, pair in row.asked():
        about = tuple(dict.fromkeys(pair.passage_ids)) if kind == "joint_qa" else (passage.id,)
        plain = plain_text(pair.question)
        first = asked.get(_digest(plain))
        if not plain.strip() or not pair.answer.strip():
            reason = "question or answer is empty"
        elif first is not None:
            reason = f"asked already, of passage {first}"
        elif any(name not in kept or kept[name].split != passage.split for name in about):
            reason = "one of its passages was set aside, or is on the other side of the split"
        elif kind == "joint_qa" and (len(about) < 2 or passage.id not in about):
            reason = f"names passages {', '.join(about) or 'none'}: a joint question needs its own "
            reason += "and another"
        else:
            asked[_digest(plain)] = passage.id
            language = sys.intern(pair.language or passage.language)
            questions.append(
                Question(kind, pair.question, pair.answer, language,
                         tuple(kept[name] for name in about), tuple(pair.requests), made_by)
            )  # fmt: skip
            continue
        rejects.append(Reject(STEP, f"{passage.id}: {pair.question}", reason))
    paraphrase = row.paraphrase if row.paraphrase and row.paraphrase.strip() else None
    return Entry(passage, tuple(questions), paraphrase, tuple(row.paraphrase_requests), made_by)


def _made_by(row: _Synthesis) -> dict[str, Any]:
    made_by = {"provider": row.provider, "model": row.model, "prompt_version": row.prompt_version}
    if row.verification_model is not None:
        made_by["verification_model"] = row.verification_model
    return made_by


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


_Row = TypeVar("_Row", bound=_Input)


def _read(path: Path, row_type: type[_Row]) -> Iterator[_Row]:
    for number, record in read_jsonl(path):
        try:
            yield row_type.model_validate(record)
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "row"
            raise DataError(
                f"{path}:{number}: {where}: {first['msg']}; run the step that writes it again"
            ) from err
