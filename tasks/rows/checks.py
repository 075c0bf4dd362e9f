"""Checks of rows: of one row by itself, and of one row against those before it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

import regex

from tasks.negatives.answers import is_closed, is_short, plain_answer, plain_text
from tasks.rows.clean_refs import asks_about_file, has_marks, remove_marks
from tasks.rows.documents import Fault, digest, judge_document
from tasks.rows.leaks import questions_of
from tasks.storage import Record

Severity = Literal["error", "warning"]

# A limit shows when so many of the torn documents, and so large a share, have one same length.
_LIMIT_ROWS, _LIMIT_SHARE = 5, 0.2
_WORD = regex.compile(r"[\p{L}\p{M}]+")


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault: `line` counts from 1, 0 stands for the file; warnings do not fail a file."""

    line: int
    severity: Severity
    check: str
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row that fits its schema, and where it stands."""

    number: int
    stage: str
    row: Record


@dataclass
class DocumentCheck:
    """Each document is judged once, however many rows show it.

    Args:
        whole: Digests of texts known to be whole, such as the passages of a workspace; with it,
            any other text is a fault.
    """

    whole: Collection[int] = ()
    _judged: dict[int, Fault | None] = field(default_factory=dict)
    _marked: set[int] = field(default_factory=set)
    _torn: int = 0
    _lengths: dict[str, Counter[int]] = field(
        default_factory=lambda: {"characters": Counter(), "words": Counter()}
    )

    def see(self, line: Line) -> Iterator[Issue]:
        """Faults of one row's documents, and of marks in its texts."""
        seen: dict[int, int] = {}
        marked = False
        for place, text in enumerate(line.row["docs"]):
            key = digest(text)
            if key not in self._judged:
                self._judge(key, text)
            if (fault := self._judged[key]) is not None:
                yield _document_issue(line.number, place, fault, text)
            if self.whole and key not in self.whole:
                message = f"document {place} is no passage of the workspace: cut, or changed"
                yield Issue(line.number, "error", "documents", message)
            if key in seen:
                message = f"document {place} repeats document {seen[key]}"
                yield Issue(line.number, "error", "documents", message)
            seen.setdefault(key, place)
            marked = marked or key in self._marked
        yield from _references(line, marked)

    def close(self) -> Iterator[Issue]:
        """What shows only over all documents: one length at which many are torn off."""
        for unit, lengths in self._lengths.items():
            if not lengths:
                continue
            length, count = max(lengths.items(), key=lambda item: (item[1], item[0]))
            if count >= max(_LIMIT_ROWS, _LIMIT_SHARE * self._torn):
                message = f"{count} documents end inside a sentence after exactly {length} {unit}: "
                yield Issue(0, "warning", "documents", message + "a limit cut them")

    def _judge(self, key: int, text: str) -> None:
        if has_marks(text):
            self._marked.add(key)
            text, _ = remove_marks(text)
        fault = judge_document(text)
        if key in self.whole and fault in ("cut", "short"):
            fault = None
        self._judged[key] = fault
        if fault == "cut":
            self._torn += 1
            self._lengths["characters"][len(text)] += 1
            self._lengths["words"][len(text.split())] += 1


def _document_issue(number: int, place: int, fault: Fault, text: str) -> Issue:
    start, end = text.strip()[:60], text.strip()[-60:]
    words, severity = {
        "empty": ("has no words", "error"),
        "broken": (f"is cut inside a character: {start!r} ... {end!r}", "error"),
        "cut": (f"is cut inside a sentence: {start!r} ... {end!r}", "warning"),
        "short": (f"is very short: {start!r}", "warning"),
    }[fault]
    return Issue(number, severity, "documents", f"document {place} {words}")  # type: ignore[arg-type]


def _references(line: Line, marked: bool) -> Iterator[Issue]:
    remedy = "`clara clean-refs` mends it"
    if any(asks_about_file(question) for question in questions_of(line.row)):
        yield Issue(line.number, "warning", "references", f"a question is about a file; {remedy}")
    if marked:
        yield Issue(line.number, "warning", "references", f"a document has image marks; {remedy}")


def check_positions(line: Line) -> Iterator[Issue]:
    """Golds against the answer: named twice, elsewhere, missing, or not the only ones."""
    if line.stage == "stage1":
        return
    golds = line.row["pos_index"]
    if len(set(golds)) < len(golds):
        yield Issue(line.number, "error", "pos_index", f"{golds} names a document twice")
    holding = documents_with_answer(line.row)
    others = [i for i in holding if i not in golds]
    if not golds:
        if holding:
            message = f"empty, though the answer stands in documents {holding}"
            yield Issue(line.number, "warning", "pos_index", message)
    elif others and len(others) == len(holding):
        message = f"the answer stands in documents {others}, not in the golds {golds}"
        yield Issue(line.number, "error", "pos_index", message)
    # In the generated world two people may well share a birthplace: the question names one.
    elif others and line.row.get("origin") != "world":
        message = f"the answer stands in documents {others} too, which are not golds"
        yield Issue(line.number, "warning", "pos_index", message)


def documents_with_answer(row: Record) -> list[int]:
    """Places of the documents that hold the gold answer; none for one that stands anywhere."""
    answer = row["gold_answer"]
    if is_closed(answer) or is_short(answer):
        return []
    wanted = plain_answer(answer)
    # Plain texts are costly; a text without the answer's longest word cannot hold the answer.
    needle = max(_WORD.findall(wanted), key=len, default="")
    return [
        place
        for place, text in enumerate(row["docs"])
        if needle in _folded(text) and wanted in plain_text(text)
    ]


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@dataclass
class TopKCheck:
    """Numbers of documents: as `top_k` asks, or at least alike within a stage."""

    top_k: int | None
    _sizes: dict[str, Counter[int]] = field(
        default_factory=lambda: {"stage2": Counter(), "stage3": Counter()}
    )

    def see(self, line: Line) -> Iterator[Issue]:
        """The fault of one row's number of documents."""
        if line.stage not in self._sizes:
            return
        size, top_k = len(line.row["docs"]), self.top_k
        self._sizes[line.stage][size] += 1
        if top_k is not None and (size < top_k or (line.stage == "stage2" and size != top_k)):
            need = f"exactly {top_k}" if line.stage == "stage2" else f"at least {top_k}"
            message = f"{size} documents; {line.stage} with top_k {top_k} needs {need}"
            yield Issue(line.number, "error", "top_k", message)

    def close(self) -> Iterator[Issue]:
        """Rows of one stage that differ, where nothing was asked for."""
        for stage, sizes in self._sizes.items():
            if self.top_k is None and len(sizes) > 1:
                shown = ", ".join(
                    f"{count} rows of {size}" for size, count in sorted(sizes.items())
                )
                message = f"{stage} rows differ in their number of documents: {shown}"
                yield Issue(0, "warning", "top_k", message)


@dataclass
class DuplicateCheck:
    """Rows and ids that stood before, known by 64 bits each."""

    _contents: dict[int, int] = field(default_factory=dict)
    _ids: dict[int, int] = field(default_factory=dict)

    def see(self, line: Line) -> Iterator[Issue]:
        """Whether one row, or its id, stood before."""
        if (before := self.content(line)) is not None:
            message = f"same questions and documents as line {before}"
            yield Issue(line.number, "error", "duplicates", message)
        if (before := self.name(line)) is not None:
            message = f"id {line.row['id']} stands in line {before} too"
            yield Issue(line.number, "error", "duplicates", message)

    def content(self, line: Line) -> int | None:
        """The line before this one that asks the same of the same documents."""
        return _first(self._contents, row_key(line), line.number)

    def name(self, line: Line) -> int | None:
        """The line before this one that has the same id."""
        identity = line.row.get("id")
        if not identity:
            return None
        return _first(self._ids, digest(f"{line.stage} {identity}"), line.number)


def _first(known: dict[int, int], key: int, number: int) -> int | None:
    first = known.setdefault(key, number)
    return None if first == number else first


def row_key(line: Line) -> int:
    """A key that rows share if they ask the same of the same documents, in whatever order."""
    asked = sorted(plain_text(question) for question in questions_of(line.row))
    documents = sorted(format(digest(text), "x") for text in line.row["docs"])
    kind = str(line.row.get("data_type", ""))
    return digest("\n".join([line.stage, kind, *asked, "", *documents]))
