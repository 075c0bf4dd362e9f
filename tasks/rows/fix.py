"""A repaired copy of a file of rows: rows are mended or left out, and every change is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from clara_model.errors import ConfigError
from clara_model.rows import dump_line
from tasks.rows.checks import DuplicateCheck, Line
from tasks.rows.leaks import BenchmarkKeys
from tasks.rows.mend import Made, Rules, Unmendable, mend_row
from tasks.rows.validate import (
    ValidationReport,
    check_leaks,
    check_options,
    read_records_or_faults,
    training_files,
    validate_file,
)
from tasks.storage import atomic_open

Action = Literal["dropped", "repaired"]

_KEPT_CHANGES = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to one row, and because of which check."""

    line: int
    action: Action
    check: str
    what: str


@dataclass
class FixReport:
    """What was written, every change counted and the first ones kept; all stand in `changes_path`.

    `after` is what validation says of the copy.
    """

    path: Path
    out: Path
    changes_path: Path
    rows_in: int = 0
    rows_out: int = 0
    rows_repaired: int = 0
    counts: Counter[tuple[Action, str]] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    after: ValidationReport | None = None


def fix_file(
    path: Path,
    out: Path,
    *,
    stage: str | None = None,
    top_k: int | None = None,
    train: Path | Sequence[Path] | None = None,
    passages: Collection[int] = (),
    may_be_empty: bool = False,
    strict: bool = False,
) -> FixReport:
    """Write a copy of a file of rows without the faults that `validate_file` fails it for.

    Mended: rows of another dialect, positions (as text, doubled, outside, or beside the only
    document that holds the answer), blank and repeated documents, blank pairs, image marks, too
    many documents for `top_k`, ids that stand twice. Left out: what fits no schema, rows without a
    usable gold document or answer, with too few documents, doubled ones, and leaks. `strict` also
    trims documents that are cut inside a sentence, and drops what loses its answer by that.
    Beside the copy, `OUT.changes.jsonl` lists every change.

    Args:
        path: The rows; never changed.
        out: Where the copy goes.
        stage: As in `validate_file`.
        top_k: As in `validate_file`; stage 2 rows of more documents are cut down to it.
        train: As in `validate_file`; rows of `path` that leak are left out.
        passages: As in `validate_file`; other documents are left out.
        may_be_empty: As in `validate_file`.
        strict: Mend warnings too, where that is possible.

    Raises:
        ConfigError: If an option is not possible, or `out` is the file itself.
        DataError: If a file does not exist.
    """
    check_options(stage, top_k)
    if out.resolve() == path.resolve():
        raise ConfigError(f"{out}: would overwrite its source; choose another name with --out")
    report = FixReport(path, out, out.with_name(out.name + ".changes.jsonl"))
    rules = Rules(stage, top_k, strict, passages)
    leaking = _leaking_lines(path, rules, train)
    duplicates = DuplicateCheck()
    with atomic_open(out) as rows, atomic_open(report.changes_path) as changes:

        def note(change: Change) -> None:
            report.counts[change.action, change.check] += 1
            if len(report.changes) < _KEPT_CHANGES:
                report.changes.append(change)
            changes.write(dump_line(asdict(change)))

        for number, record in read_records_or_faults(path):
            report.rows_in += 1
            made: Made = []
            try:
                if number in leaking:
                    raise Unmendable("leaks", leaking[number])
                if isinstance(record, str):
                    raise Unmendable("schema", record)
                name, row = mend_row(record, rules, made)
                _mend_duplicate(duplicates, Line(number, name, row), made)
            except Unmendable as reason:
                note(Change(number, "dropped", reason.check, reason.what))
                continue
            for check, what in made:
                note(Change(number, "repaired", check, what))
            report.rows_out += 1
            report.rows_repaired += bool(made)
            rows.write(dump_line(row if made else record))
    report.after = validate_file(
        out, stage=stage, top_k=top_k, train=train, passages=passages, may_be_empty=may_be_empty
    )
    return report


def _leaking_lines(path: Path, rules: Rules, train: Path | Sequence[Path] | None) -> dict[int, str]:
    """Rows that leak, once mended: a row that fits its schema only then may leak as well."""
    files = training_files(train)
    if not files:
        return {}
    keys = BenchmarkKeys()
    for number, record in read_records_or_faults(path):
        if isinstance(record, dict):
            with suppress(Unmendable):
                stage, row = mend_row(record, rules, [])
                keys.add(number, row, stage)
    found: dict[int, str] = {}
    for issue in (issue for file in files for issue in check_leaks(keys, file)):
        if issue.line:
            found.setdefault(issue.line, issue.message)
    return found


def _mend_duplicate(duplicates: DuplicateCheck, line: Line, made: Made) -> None:
    if doubled := duplicates.content(line):
        raise Unmendable("duplicates", f"same questions and documents as line {doubled}")
    identity, number = line.row.get("id"), 2
    while duplicates.name(line) is not None:
        line.row["id"] = f"{identity}-{number}"
        number += 1
    if line.row.get("id") != identity:
        made.append(("duplicates", f"id {identity} stood before; now {line.row['id']}"))
