"""Checks of row files, ours or anyone's: every fault with its line, none of them fatal.

Rows stream past; what is remembered of them are 64-bit digests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from clara_model.errors import ConfigError, DataError
from clara_model.row_dialects import guess_stage, normalise_row
from clara_model.rows import ROW_TYPES
from tasks.rows.checks import (
    DocumentCheck,
    DuplicateCheck,
    Issue,
    Line,
    Severity,
    TopKCheck,
    check_positions,
)
from tasks.rows.leaks import BenchmarkKeys, find_leaks
from tasks.storage import Record

# A file in which everything is wrong is told by its counts; so many of each check are kept.
KEPT_ISSUES = 1000


@dataclass
class ValidationReport:
    """What was found in one file: all of it counted, the first `KEPT_ISSUES` of a check kept."""

    path: Path
    rows: dict[str, int] = field(default_factory=dict)
    mapped: dict[str, int] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    counted: Counter[tuple[str, Severity]] = field(default_factory=Counter)

    def add(self, issue: Issue) -> None:
        """Count an issue, and keep it if its check has room."""
        self.counted[issue.check, issue.severity] += 1
        if self.counted[issue.check, issue.severity] <= KEPT_ISSUES:
            self.issues.append(issue)

    @property
    def errors(self) -> list[Issue]:
        """The issues kept that fail the file."""
        return [issue for issue in self.issues if issue.severity == "error"]

    @property
    def warnings(self) -> list[Issue]:
        """The issues kept that are to be looked at."""
        return [issue for issue in self.issues if issue.severity == "warning"]

    @property
    def is_valid(self) -> bool:
        """Whether the file has rows and none of them fails."""
        return not self.total("error")

    def total(self, severity: Severity) -> int:
        """Number of all issues of a severity, kept or not."""
        return sum(n for (_, which), n in self.counted.items() if which == severity)

    def counts(self) -> dict[str, int]:
        """Number of issues by check."""
        counts: Counter[str] = Counter()
        for (check, _), number in self.counted.items():
            counts[check] += number
        return dict(counts)


def validate_file(
    path: Path,
    *,
    stage: str | None = None,
    top_k: int | None = None,
    train: Path | Sequence[Path] | None = None,
    passages: Collection[int] = (),
    may_be_empty: bool = False,
    is_retrieved: bool = False,
) -> ValidationReport:
    """Check every row of a file; nothing is changed.

    Checks: `schema` (also: not JSON, not UTF-8, no rows), `documents` (blank, very short, cut
    inside a sentence or a character, torn off at one length, one text twice in a row), `top_k`,
    `pos_index` (golds that do not hold the answer while another document does, golds missing,
    negatives that hold the answer), `references` (image marks and questions about files, for
    `clara clean-refs`), `duplicates` (rows, ids), and with `train` `leaks`: a gold passage of this
    file, the sentence of it that holds the answer, or a question among the training rows.

    Args:
        path: A JSONL file of training or benchmark rows, in any known dialect.
        stage: "stage1", "stage2" or "stage3"; without it each row's own `stage`, else a guess.
        top_k: Documents that each stage 2 row has, and each stage 3 row at least; without it, rows
            of one stage are only compared with each other.
        train: Training rows of any stage (files, or a workspace) that must not be met again.
        passages: Digests of the only texts that may stand as documents; empty for any.
        may_be_empty: Whether a file without rows is sound.
        is_retrieved: Whether documents are what a search found: the gold one may be missing, and
            others may hold the answer.

    Raises:
        ConfigError: If `stage` or `top_k` is not possible.
        DataError: If a file does not exist.
    """
    check_options(stage, top_k)
    report = ValidationReport(path)
    documents, sizes, duplicates = DocumentCheck(passages), TopKCheck(top_k), DuplicateCheck()
    keys = BenchmarkKeys()
    for line in read_lines(path, stage, report):
        for issues in (documents.see(line), check_positions(line), sizes.see(line),
                       duplicates.see(line)):  # fmt: skip
            for issue in issues:
                if not (
                    is_retrieved and issue.check == "pos_index" and issue.severity == "warning"
                ):
                    report.add(issue)
        if train is not None:
            keys.add(line.number, line.row, line.stage)
    if not report.rows and not report.issues and not may_be_empty:
        report.add(Issue(0, "error", "schema", "the file has no rows"))
    for issue in (*documents.close(), *sizes.close()):
        report.add(issue)
    for file in training_files(train):
        for issue in check_leaks(keys, file):
            report.add(issue)
    report.issues.sort(key=lambda issue: issue.line)
    return report


def check_options(stage: str | None, top_k: int | None) -> None:
    """Refuse a stage or a top-k that cannot be.

    Raises:
        ConfigError: If `stage` or `top_k` is not possible.
    """
    if stage is not None and stage not in ROW_TYPES:
        raise ConfigError(f"stage {stage!r} does not exist; use one of {', '.join(ROW_TYPES)}")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}; a row has at least one document")


def read_lines(path: Path, stage: str | None, report: ValidationReport) -> Iterator[Line]:
    """The rows that fit their schema; the others become issues of the report.

    Raises:
        DataError: If the file does not exist.
    """
    for number, record in read_records_or_faults(path):
        if isinstance(record, str):
            report.add(Issue(number, "error", "schema", record))
            continue
        name = stage or guess_stage(record)
        row, changes = normalise_row(record, name)
        report.rows[name] = report.rows.get(name, 0) + 1
        for change in changes:
            report.mapped[change] = report.mapped.get(change, 0) + 1
        try:
            row = ROW_TYPES[name].model_validate(row).model_dump()
        except ValidationError as err:
            for fault in schema_faults(err):
                report.add(Issue(number, "error", "schema", f"{name}: {fault}"))
        else:
            yield Line(number, name, row)


def read_records_or_faults(path: Path) -> Iterator[tuple[int, Record | str]]:
    """Line numbers of a JSONL file with each line's object, or what is wrong with the line.

    Raises:
        DataError: If the file does not exist.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a JSONL file of rows")
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            try:
                record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as err:  # also: not UTF-8
                yield number, f"not JSON in UTF-8: {err}"
                continue
            yield number, record if isinstance(record, dict) else "not a JSON object"


def schema_faults(err: ValidationError) -> Iterator[str]:
    """What does not fit a schema, a field each."""
    for error in err.errors():
        where = ".".join(str(part) for part in error["loc"]) or "row"
        yield f"{where}: {error['msg']}"


def training_files(train: Path | Sequence[Path] | None) -> list[Path]:
    """The files that hold training rows; of a workspace, the one of all stages."""
    if train is None:
        return []
    files = [train] if isinstance(train, Path) else list(train)
    return [file / "clara_training_data.jsonl" if file.is_dir() else file for file in files]


def check_leaks(keys: BenchmarkKeys, train: Path) -> Iterator[Issue]:
    """What one file of training rows gives away of a benchmark."""
    trained_on = ValidationReport(train)
    rows = ((line.number, line.row) for line in read_lines(train, None, trained_on))
    for leak in find_leaks(keys, rows):
        if leak.by == "passage":
            message = f"its gold passage stands in line {leak.train_line} of {train}"
        elif leak.by == "question":
            message = (
                f"its question stands in line {leak.train_line} of {train}: {leak.words[:80]!r}"
            )
        else:
            message = (
                f"the sentence that holds its answer stands in line {leak.train_line} of {train}: "
                f"{leak.words[:80]!r}"
            )
        yield Issue(leak.line, "error", "leaks", message)
    if faults := trained_on.total("error"):
        message = f"{faults} faults in {train} itself; validate it too"
        yield Issue(0, "warning", "leaks", message)
