"""What the commands around rows do and print."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clara_model.errors import ConfigError
from configs.load import load_config
from configs.schema import PipelineConfig
from flows.trace_view import print_trace
from tasks.travel.mirror import open_workspace
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tasks.rows.fix import FixReport
    from tasks.rows.validate import ValidationReport

_SHOWN = 50  # most issues printed for one file
# What is fetched of a remote workspace.
_ROWS_AND_SOURCES = (
    "pretrain_data.jsonl", "instruction_data.jsonl", "end_to_end_data.jsonl",
    "end_to_end_memory.jsonl", "clara_training_data.jsonl", "benchmark", "world",
    "raw_knowledge.jsonl", "captions.jsonl", "passages.jsonl", "synthesis.jsonl",
)  # fmt: skip


def validate_rows(
    place: str,
    *,
    stage: str | None,
    top_k: int | None,
    train: Path | None,
    out: Path | None,
    strict: bool,
    as_json: bool,
) -> int:
    """Print what is wrong with a file of rows, or a workspace; 1 if something fails it, else 0."""
    from tasks.rows.validate import validate_file
    from tasks.rows.validate_workspace import validate_workspace

    if out is not None:
        raise ConfigError("--out says where a repaired copy goes; it needs --fix")
    path = _find(place)
    if path.is_dir():
        _refuse_for_workspace(stage, train)
        reports = validate_workspace(Workspace(path), top_k=top_k)
    else:
        reports = [validate_file(path, stage=stage, top_k=top_k, train=train)]
    valid = all(_passes(report, strict) for report in reports)
    if as_json:
        values = [_report_json(report, strict) for report in reports]
        whole = {"workspace": str(path), "valid": valid, "files": values}
        _print_json(whole if path.is_dir() else values[0])
    else:
        console = Console()
        for report in reports:
            _print_report(console, report)
        console.print(_verdict(reports, strict))
    return int(not valid)


def fix_rows(
    place: str,
    *,
    stage: str | None,
    top_k: int | None,
    train: Path | None,
    out: Path | None,
    strict: bool,
    as_json: bool,
) -> int:
    """Write repaired copies, and print what was done; 1 if a copy still fails, else 0."""
    from tasks.rows.fix import fix_file
    from tasks.rows.validate_workspace import fix_workspace

    path = _find(place)
    if "://" in place and out is None:
        raise ConfigError(f"{place}: say by --out FOLDER where the repaired copies go")
    if path.is_dir():
        _refuse_for_workspace(stage, train)
        folder = out or path.with_name(path.name + "-fixed")
        fixes = fix_workspace(Workspace(path), folder, top_k=top_k, strict=strict)
    else:
        target = out or path.with_suffix(".fixed.jsonl")
        fixes = [fix_file(path, target, stage=stage, top_k=top_k, train=train, strict=strict)]
    valid = all(_passes(fix.after, strict) for fix in fixes)
    if as_json:
        _print_json({"valid": valid, "files": [_fix_json(fix, strict) for fix in fixes]})
    else:
        console = Console()
        for fix in fixes:
            _print_fix(console, fix)
        console.print(_verdict([fix.after for fix in fixes], strict))
    return int(not valid)


def clean_row_refs(file: Path, out: Path | None) -> None:
    """Write a copy of a file of rows without image marks, and say what was set aside."""
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    from tasks.rows.clean_refs import clean_refs

    target = out or file.with_suffix(".clean.jsonl")
    result = clean_refs(file, target)
    console = Console()
    counts = ", ".join(f"{name} {value:.0f}" for name, value in result.counts.items())
    console.print(f"wrote {escape(str(target))}: {counts}", highlight=False)
    for reject in result.rejects[:_SHOWN]:
        console.print(escape(f"  set aside {reject.item}: {reject.reason}"), highlight=False)


def show_trace(row_id: str, config: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print where a row came from."""
    settings = load_config(config, overrides)
    from tasks.rows.trace import trace_row

    trace = trace_row(open_workspace(settings, _ROWS_AND_SOURCES), row_id)
    if as_json:
        _print_json(trace)
    else:
        print_trace(Console(), trace)


def rebuild_card(config: Path, overrides: Sequence[str]) -> None:
    """Write the data card again from what the workspace holds."""
    settings = load_config(config, overrides)
    from tasks.data_card.build import write_card

    workspace = open_workspace(settings, [*_ROWS_AND_SOURCES, "audit.json", "models/tokenizer"])
    write_card(settings, workspace)
    page = (workspace.data_card / "card.html").resolve().as_uri()
    Console().print(page, highlight=False, soft_wrap=True)


def _find(place: str) -> Path:
    """A file or folder; of a workspace's URI the local folder that mirrors it, with its rows."""
    if "://" not in place:
        return Path(place)
    try:
        settings = PipelineConfig.model_validate({"workspace": place})
    except ValidationError as err:
        words = "; ".join(error["msg"].removeprefix("Value error, ") for error in err.errors())
        raise ConfigError(words) from None  # the address may hold a password
    return open_workspace(settings, _ROWS_AND_SOURCES).root


def _refuse_for_workspace(stage: str | None, train: Path | None) -> None:
    if stage is not None or train is not None:
        raise ConfigError("--stage and --train are for single files; a workspace knows its own")


def _passes(report: ValidationReport | None, strict: bool) -> bool:
    return report is not None and report.is_valid and not (strict and report.total("warning"))


def _verdict(reports: Sequence[ValidationReport | None], strict: bool) -> str:
    errors, warnings = (
        sum(report.total(severity) for report in reports if report)
        for severity in ("error", "warning")
    )
    said = ", ".join(
        f"{number} {word}{'s' * (number != 1)}"
        for number, word in ((errors, "error"), (warnings, "warning"))
        if number
    )
    if errors or (strict and warnings):
        return f"[red]not valid[/]: {said}"
    return f"[green]valid[/]{': ' + said if said else ''}"


def _print_report(console: Console, report: ValidationReport) -> None:
    rows = ", ".join(
        f"{count} {stage} rows" if stage.startswith("stage") else f"{count} {stage}"
        for stage, count in report.rows.items()
    )
    sound = "" if report.counted else "  [green]ok[/]"
    console.print(f"{escape(str(report.path))}: {rows or 'no rows'}{sound}", highlight=False)
    for note, count in report.mapped.items():
        console.print(escape(f"  read {note} ({count} rows)"), highlight=False)
    if not report.issues:
        return
    table = Table("line", "severity", "check", "what")
    # Errors first: a page of warnings must not hide one.
    issues = sorted(report.issues, key=lambda issue: issue.severity != "error")
    for issue in issues[:_SHOWN]:
        line = str(issue.line) if issue.line else "file"
        table.add_row(line, issue.severity, issue.check, escape(issue.message))
    console.print(table)
    total = report.counted.total()
    if total > _SHOWN:
        counts = ", ".join(f"{n} {check} {severity}s" for (check, severity), n in
                           sorted(report.counted.items()))  # fmt: skip
        console.print(f"and {total - _SHOWN} more ({counts}); --json prints them", highlight=False)


def _print_fix(console: Console, fix: FixReport) -> None:
    dropped = fix.rows_in - fix.rows_out
    console.print(
        f"wrote {escape(str(fix.out))}: {fix.rows_out} of {fix.rows_in} rows, "
        f"{fix.rows_repaired} repaired, {dropped} dropped",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    for (action, check), number in sorted(fix.counts.items()):
        console.print(f"  {action} for {check}: {number}", highlight=False)
    for change in fix.changes[:_SHOWN]:
        words = f"    line {change.line}: {change.action}, {change.check}: {change.what}"
        console.print(escape(words), highlight=False)
    if fix.counts:
        console.print(f"  all of them: {escape(str(fix.changes_path))}", soft_wrap=True)


def _report_json(report: ValidationReport, strict: bool) -> dict[str, Any]:
    return {
        "file": str(report.path),
        "valid": _passes(report, strict),
        "rows": report.rows,
        "mapped": report.mapped,
        "errors": report.total("error"),
        "warnings": report.total("warning"),
        "counts": report.counts(),
        "issues": [asdict(issue) for issue in report.issues],
    }


def _fix_json(fix: FixReport, strict: bool) -> dict[str, Any]:
    return {
        "file": str(fix.path),
        "out": str(fix.out),
        "changes_file": str(fix.changes_path),
        "rows_in": fix.rows_in,
        "rows_out": fix.rows_out,
        "rows_repaired": fix.rows_repaired,
        "counts": {f"{action}: {check}": n for (action, check), n in sorted(fix.counts.items())},
        "changes": [asdict(change) for change in fix.changes],
        "after": _report_json(fix.after, strict) if fix.after else None,
    }


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
