"""All row files of a workspace: against its passages, its split, and each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from clara_model.errors import ConfigError, DataError
from clara_model.rows import read_jsonl
from tasks.manifests import read_manifest
from tasks.rows.audit import find_violations
from tasks.rows.checks import Issue
from tasks.rows.documents import digest
from tasks.rows.fix import FixReport, fix_file
from tasks.rows.validate import ValidationReport, validate_file
from tasks.storage import Record, write_jsonl
from tasks.workspace import Workspace

_TRAINING = ("pretrain_data.jsonl", "instruction_data.jsonl", "end_to_end_data.jsonl")
_BENCHMARK = ("benchmark/oracle.jsonl", "benchmark/normal.jsonl", "benchmark/unanswerable.jsonl")


@dataclass(frozen=True)
class RowFile:
    """One row file of a workspace, by its name in there, and what it is held against."""

    name: str
    stage: str
    top_k: int | None = None
    is_held_out: bool = False
    is_world: bool = False


def row_files(workspace: Workspace, top_k: int | None = None) -> list[RowFile]:
    """The row files that a workspace has, in the order in which they are made.

    Args:
        workspace: Where they lie.
        top_k: Instead of the `model.generation_top_k` that the rows were made with.

    Raises:
        DataError: If it has none.
    """
    settings = (read_manifest(workspace, "mine") or {}).get("settings", {})
    k = top_k if top_k is not None else settings.get("top_k")
    own = [RowFile(name, f"stage{i}", k if i > 1 else None) for i, name in enumerate(_TRAINING, 1)]
    own.append(RowFile(workspace.end_to_end_memory.name, "stage3", k))
    # In the normal setting a row holds what BM25 finds, which may be less than k.
    held_out = [
        RowFile(name, "stage3", None if "normal" in name else k, is_held_out=True)
        for name in _BENCHMARK
    ]
    world = [
        RowFile(f"{workspace.world.name}/{file.name}", file.stage, file.top_k, is_world=True)
        for file in (*own[: len(_TRAINING)], *held_out)
    ]
    there = [file for file in (*own, *held_out, *world) if (workspace.root / file.name).is_file()]
    if not there:
        raise DataError(f"{workspace.root}: no row files; `clara mine` writes them")
    return there


def validate_workspace(workspace: Workspace, *, top_k: int | None = None) -> list[ValidationReport]:
    """Check every row file of a workspace, its passages, and that the files belong together.

    Documents must be passages of the workspace, word for word; no passage may be longer than the
    model reads; `clara_training_data.jsonl` must be the three stages' rows; the split must hold.
    Rows of the generated world are held against themselves only.

    Raises:
        DataError: If there are no row files.
    """
    files = row_files(workspace, top_k)
    passages = ValidationReport(workspace.passages)
    known = _read_passages(workspace, passages)
    reports = [passages]
    for file in files:
        held_against = _training_paths(workspace.root) if file.is_held_out else None
        reports.append(
            validate_file(
                workspace.root / file.name, stage=file.stage, top_k=file.top_k, train=held_against,
                passages=() if file.is_world else known, may_be_empty=file.stage != "stage1",
                is_retrieved=file.name.endswith("normal.jsonl"),
            )
        )  # fmt: skip
    reports += [_check_together(workspace), _check_split(workspace)]
    return reports


def fix_workspace(
    workspace: Workspace, out: Path, *, top_k: int | None = None, strict: bool = False
) -> list[FixReport]:
    """Write repaired copies of all row files of a workspace to another folder, names kept.

    Raises:
        ConfigError: If `out` is the workspace itself.
        DataError: If there are no row files.
    """
    if out.resolve() == workspace.root.resolve():
        raise ConfigError(f"{out}: would overwrite its source; choose another folder with --out")
    known = _read_passages(workspace, ValidationReport(workspace.passages))
    reports = [
        fix_file(
            workspace.root / file.name, out / file.name, stage=file.stage, top_k=file.top_k,
            train=_training_paths(out) if file.is_held_out else None, strict=strict,
            passages=() if file.is_world else known, may_be_empty=file.stage != "stage1",
        )
        for file in row_files(workspace, top_k)
    ]  # fmt: skip
    write_jsonl(out / workspace.all_training_data.name, _together(out))
    return reports


def _training_paths(root: Path) -> list[Path]:
    return [path for name in _TRAINING if (path := root / name).is_file()]


def _read_passages(workspace: Workspace, report: ValidationReport) -> frozenset[int]:
    """Digests of all passages; those that the model would cut become issues."""
    if not workspace.passages.is_file():
        report.add(Issue(0, "warning", "documents", "not there; documents are not held against it"))
        return frozenset()
    settings = (read_manifest(workspace, "passages") or {}).get("settings", {})
    longest = settings.get("length")
    known = set()
    for number, passage in read_jsonl(workspace.passages):
        known.add(digest(passage["text"]))
        report.rows["passages"] = number
        if longest and passage.get("tokens", 0) > longest:
            message = f"{passage['tokens']} tokens, more than the {longest} that the model reads"
            report.add(Issue(number, "error", "documents", message))
    return frozenset(known)


def _check_together(workspace: Workspace) -> ValidationReport:
    """Whether the file of all stages holds exactly the three stages' rows, in their order."""
    report = ValidationReport(workspace.all_training_data)
    if not report.path.is_file():
        report.add(Issue(0, "error", "schema", "not there; `clara mine --force` writes it"))
        return report
    given = (row for _, row in read_jsonl(report.path))
    pairs: Iterator[tuple[Record | None, Record | None]]
    pairs = zip_longest(given, _together(workspace.root))
    for number, (found, wanted) in enumerate(pairs, start=1):
        report.rows["rows of all stages"] = number
        if found != wanted:
            message = "not the row that stands in the stage's own file; `clara mine --force`"
            report.add(Issue(number, "error", "schema", message))
            break
    return report


def _together(root: Path) -> Iterator[Record]:
    return chain.from_iterable(
        ({"stage": f"stage{i}", **row} for _, row in read_jsonl(root / name))
        for i, name in enumerate(_TRAINING, start=1)
        if (root / name).is_file()
    )


def _check_split(workspace: Workspace) -> ValidationReport:
    report = ValidationReport(workspace.audit)
    needed = (workspace.passages, workspace.all_training_data)
    if all(path.is_file() for path in needed):
        for violation in find_violations(workspace):
            report.add(Issue(0, "error", "split", violation))
    return report
