"""Checks of row files, ours or anyone's: every fault with its line, none of them fatal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from clara_model.errors import ConfigError, DataError
from clara_model.row_dialects import guess_stage, normalise_row
from clara_model.rows import ROW_TYPES
from tasks.negatives.answers import is_closed, is_short, plain_answer, plain_text
from tasks.rows.clean_refs import asks_about_file, has_marks
from tasks.storage import Record

Severity = Literal["error", "warning"]

# Below this many words (or CJK characters) a document says too little to be asked about.
SHORT_DOCUMENT = 5


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault: `line` counts from 1, 0 stands for the file; warnings do not fail a file."""

    line: int
    severity: Severity
    check: str
    message: str


@dataclass
class ValidationReport:
    """What was found in one file."""

    path: Path
    rows: dict[str, int] = field(default_factory=dict)
    mapped: dict[str, int] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    @property
    def errors(self) -> list[Issue]:
        """The issues that fail the file."""
        return [issue for issue in self.issues if issue.severity == "error"]

    @property
    def warnings(self) -> list[Issue]:
        """The issues to look at."""
        return [issue for issue in self.issues if issue.severity == "warning"]

    @property
    def is_valid(self) -> bool:
        """Whether the file has rows and none of them fails."""
        return not self.errors

    def counts(self) -> dict[str, int]:
        """Number of issues by check."""
        return dict(Counter(issue.check for issue in self.issues))


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    stage: str
    row: Record


def validate_file(
    path: Path, *, stage: str | None = None, top_k: int | None = None, train: Path | None = None
) -> ValidationReport:
    """Check every row of a file; nothing is changed.

    Checks: `schema` (also: not JSON, not UTF-8, no rows), `documents` (blank or very short ones,
    one text twice in a row), `top_k`, `pos_index` (golds that do not hold the answer while another
    document does, golds missing, negatives that hold the answer), `references` (image marks and
    questions about files, for `clara clean-refs`), `duplicates` (rows, ids), and with `train`
    `leaks`: a gold passage or a question of this file among the training rows.

    Args:
        path: A JSONL file of training or benchmark rows, in any known dialect.
        stage: "stage1", "stage2" or "stage3"; without it each row's own `stage`, else a guess.
        top_k: Documents that each stage 2 row has, and each stage 3 row at least; without it, rows
            of one stage are only compared with each other.
        train: Training rows of any stage (or a workspace folder) that must not be met again.

    Raises:
        ConfigError: If `stage` or `top_k` is not possible.
        DataError: If a file does not exist.
    """
    if stage is not None and stage not in ROW_TYPES:
        raise ConfigError(f"stage {stage!r} does not exist; use one of {', '.join(ROW_TYPES)}")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}; a row has at least one document")
    report = ValidationReport(path)
    lines = _read_lines(path, stage, report)
    if not lines and not report.issues:
        report.issues.append(Issue(0, "error", "schema", "the file has no rows"))
    for line in lines:
        report.issues.extend(_check_documents(line))
        report.issues.extend(_check_positions(line))
        report.issues.extend(_check_references(line))
    report.issues.extend(_check_top_k(lines, top_k))
    report.issues.extend(_check_duplicates(lines))
    if train is not None:
        report.issues.extend(_check_leaks(lines, _training_file(train)))
    report.issues.sort(key=lambda issue: issue.line)
    return report


def _read_lines(path: Path, stage: str | None, report: ValidationReport) -> list[_Line]:
    """The rows that fit their schema; the others become issues of the report."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a JSONL file of rows")
    lines, rows, mapped = [], Counter[str](), Counter[str]()
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            try:
                record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except ValueError as err:  # UnicodeDecodeError and JSONDecodeError
                report.issues.append(Issue(number, "error", "schema", f"not JSON in UTF-8: {err}"))
                continue
            if not isinstance(record, dict):
                report.issues.append(Issue(number, "error", "schema", "not a JSON object"))
                continue
            name = stage or guess_stage(record)
            row, changes = normalise_row(record, name)
            rows[name] += 1
            mapped.update(changes)
            try:
                row = ROW_TYPES[name].model_validate(row).model_dump()
            except ValidationError as err:
                report.issues.extend(_schema_issues(number, name, err))
            else:
                lines.append(_Line(number, name, row))
    report.rows, report.mapped = dict(rows), dict(mapped)
    return lines


def _schema_issues(number: int, stage: str, err: ValidationError) -> Iterator[Issue]:
    for error in err.errors():
        where = ".".join(str(part) for part in error["loc"]) or "row"
        yield Issue(number, "error", "schema", f"{stage}: {where}: {error['msg']}")


def _check_documents(line: _Line) -> Iterator[Issue]:
    seen: dict[str, int] = {}
    for place, text in enumerate(line.row["docs"]):
        terms = len(plain_text(text).split())
        if not terms:
            yield Issue(line.number, "error", "documents", f"document {place} has no words")
        elif terms < SHORT_DOCUMENT:
            message = f"document {place} is very short: {text.strip()[:60]!r}"
            yield Issue(line.number, "warning", "documents", message)
        if text in seen:
            message = f"document {place} repeats document {seen[text]}"
            yield Issue(line.number, "error", "documents", message)
        seen.setdefault(text, place)


def _check_positions(line: _Line) -> Iterator[Issue]:
    if line.stage == "stage1":
        return
    golds, answer = line.row["pos_index"], line.row["gold_answer"]
    if len(set(golds)) < len(golds):
        yield Issue(line.number, "error", "pos_index", f"{golds} names a document twice")
    if is_closed(answer) or is_short(answer):
        return  # such an answer stands in any document by chance
    wanted = plain_answer(answer)
    holding = [i for i, text in enumerate(line.row["docs"]) if wanted in plain_text(text)]
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


def _check_references(line: _Line) -> Iterator[Issue]:
    remedy = "`clara clean-refs` mends it"
    if any(asks_about_file(question) for question in _questions(line.row)):
        yield Issue(line.number, "warning", "references", f"a question is about a file; {remedy}")
    if any(has_marks(text) for text in line.row["docs"]):
        yield Issue(line.number, "warning", "references", f"a document has image marks; {remedy}")


def _check_top_k(lines: list[_Line], top_k: int | None) -> Iterator[Issue]:
    for stage in ("stage2", "stage3"):
        members = [line for line in lines if line.stage == stage]
        sizes = Counter(len(line.row["docs"]) for line in members)
        if top_k is None:
            if len(sizes) > 1:
                shown = ", ".join(
                    f"{count} rows of {size}" for size, count in sorted(sizes.items())
                )
                message = f"{stage} rows differ in their number of documents: {shown}"
                yield Issue(0, "warning", "top_k", message)
            continue
        for line in members:
            size = len(line.row["docs"])
            if size < top_k or (stage == "stage2" and size != top_k):
                need = f"exactly {top_k}" if stage == "stage2" else f"at least {top_k}"
                message = f"{size} documents; {stage} with top_k {top_k} needs {need}"
                yield Issue(line.number, "error", "top_k", message)


def _check_duplicates(lines: list[_Line]) -> Iterator[Issue]:
    ids: dict[tuple[str, str], int] = {}
    contents: dict[tuple[str, ...], int] = {}
    for line in lines:
        row = line.row
        asked = tuple(sorted(plain_text(question) for question in _questions(row)))
        content = (line.stage, row.get("data_type", ""), *asked, "", *sorted(row["docs"]))
        if content in contents:
            message = f"same questions and documents as line {contents[content]}"
            yield Issue(line.number, "error", "duplicates", message)
        contents.setdefault(content, line.number)
        if identity := row.get("id"):
            key = (line.stage, identity)
            if key in ids:
                message = f"id {identity} stands in line {ids[key]} too"
                yield Issue(line.number, "error", "duplicates", message)
            ids.setdefault(key, line.number)


def _check_leaks(lines: list[_Line], train: Path) -> Iterator[Issue]:
    """Golds are compared, not all candidates: the benchmark may show training passages."""
    trained_on = ValidationReport(train)
    passages: dict[str, int] = {}
    questions: dict[str, int] = {}
    ids: dict[str, int] = {}
    for line in _read_lines(train, None, trained_on):
        for text in line.row["docs"]:
            passages.setdefault(plain_text(text), line.number)
        for question in _questions(line.row):
            questions.setdefault(plain_text(question), line.number)
        if line.row.get("passage_id"):
            ids.setdefault(line.row["passage_id"], line.number)
    if trained_on.errors:
        message = f"{len(trained_on.errors)} faults in {train} itself; validate it too"
        yield Issue(0, "warning", "leaks", message)
    for line in lines:
        row = line.row
        golds = [0] if line.stage == "stage1" else row["pos_index"]
        found = [passages.get(plain_text(row["docs"][i])) for i in golds]
        found.append(ids.get(row.get("passage_id", "")))
        if at := next((number for number in found if number), None):
            message = f"its gold passage stands in line {at} of {train}"
            yield Issue(line.number, "error", "leaks", message)
        for question in _questions(row):
            if number := questions.get(plain_text(question)):
                message = f"its question stands in line {number} of {train}: {question[:80]!r}"
                yield Issue(line.number, "error", "leaks", message)


def _questions(row: Record) -> list[str]:
    asked = row["question"] if isinstance(row["question"], list) else [row["question"]]
    return [question for question in asked if question.strip()]


def _training_file(train: Path) -> Path:
    return train / "clara_training_data.jsonl" if train.is_dir() else train
