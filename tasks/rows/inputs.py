"""What the rows are made of: passages and synthesis, checked, each text and question once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clara_model.errors import DataError
from clara_model.rows import read_jsonl
from tasks.negatives.answers import plain_text
from tasks.storage import Reject

STEP = "mine"
Kind = Literal["simple", "complex"]


class _Input(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Passage(_Input):
    """One line of passages.jsonl, as far as rows need it."""

    id: str
    source: str
    text: str
    language: str = ""
    split: Literal["train", "benchmark"]


class Pair(_Input):
    """A question and its answer."""

    question: str
    answer: str


class Synthesis(_Input):
    """One line of synthesis.jsonl, as far as rows need it."""

    passage_id: str
    simple: list[Pair] = []
    complex: list[Pair] = []
    paraphrase: str | None = None
    provider: str = ""
    model: str = ""
    prompt_version: str | int = ""

    def asked(self) -> list[tuple[Kind, Pair]]:
        """Every pair with its kind, simple ones first."""
        simple: list[tuple[Kind, Pair]] = [("simple", pair) for pair in self.simple]
        return simple + [("complex", pair) for pair in self.complex]


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage with the pairs that are kept for it, its paraphrase, and who made them."""

    passage: Passage
    pairs: tuple[tuple[Kind, Pair], ...]
    paraphrase: str | None
    made_by: dict[str, str | int]


@dataclass(frozen=True)
class Material:
    """Everything that rows are made of, by side of the split, and what was set aside."""

    passages: dict[str, list[Passage]]
    entries: dict[str, list[Entry]]
    rejects: list[Reject] = field(default_factory=list)


def read_material(passages_path: Path, synthesis_path: Path) -> Material:
    """Read both files; set aside what would double or leak.

    A text or question that stands on both sides of the split stays in the benchmark and leaves
    the training side; one that repeats on the same side stays where it came first.

    Raises:
        DataError: If a file is missing or malformed, or names a passage twice; the message names
            file, line and field.
    """
    rejects: list[Reject] = []
    passages = _distinct_passages(_read(passages_path, Passage), passages_path, rejects)
    kept = {p.id: p for side in passages.values() for p in side}
    set_aside = {reject.item for reject in rejects}
    synthesis: dict[str, list[Synthesis]] = {"benchmark": [], "train": []}
    for row in _read(synthesis_path, Synthesis):
        if row.passage_id in kept:
            synthesis[kept[row.passage_id].split].append(row)
        elif row.passage_id not in set_aside:
            reason = f"{synthesis_path.name} names a passage that is not in {passages_path.name}"
            rejects.append(Reject(STEP, row.passage_id, reason))
    asked: dict[str, str] = {}
    entries = {
        side: [_entry(kept[row.passage_id], row, asked, rejects) for row in synthesis[side]]
        for side in ("benchmark", "train")
    }
    return Material(passages, entries, rejects)


def _distinct_passages(
    rows: list[Passage], path: Path, rejects: list[Reject]
) -> dict[str, list[Passage]]:
    ids: set[str] = set()
    for row in rows:
        if row.id in ids:
            raise DataError(f"{path}: passage id {row.id} stands twice; run the step again")
        ids.add(row.id)
    first: dict[str, Passage] = {}
    sides: dict[str, list[Passage]] = {"benchmark": [], "train": []}
    for row in sorted(rows, key=lambda row: row.split != "benchmark"):
        plain = plain_text(row.text)
        if not plain.strip():
            rejects.append(Reject(STEP, row.id, "passage without a word"))
        elif plain in first:
            other = first[plain]
            rejects.append(Reject(STEP, row.id, f"same text as {other.split} passage {other.id}"))
        else:
            first[plain] = row
            sides[row.split].append(row)
    return sides


def _entry(passage: Passage, row: Synthesis, asked: dict[str, str], rejects: list[Reject]) -> Entry:
    pairs = []
    for kind, pair in row.asked():
        plain = plain_text(pair.question)
        if not plain.strip() or not pair.answer.strip():
            reason = "question or answer is empty"
        elif plain in asked:
            reason = f"asked already, of passage {asked[plain]}"
        else:
            asked[plain] = passage.id
            pairs.append((kind, pair))
            continue
        rejects.append(Reject(STEP, f"{passage.id}: {pair.question}", reason))
    paraphrase = row.paraphrase if row.paraphrase and row.paraphrase.strip() else None
    made_by = {"provider": row.provider, "model": row.model, "prompt_version": row.prompt_version}
    return Entry(passage, tuple(pairs), paraphrase, made_by)


_Row = TypeVar("_Row", bound=_Input)


def _read(path: Path, row_type: type[_Row]) -> list[_Row]:
    rows = []
    for number, record in read_jsonl(path):
        try:
            rows.append(row_type.model_validate(record))
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "row"
            raise DataError(
                f"{path}:{number}: {where}: {first['msg']}; run the step that writes it again"
            ) from err
    return rows
