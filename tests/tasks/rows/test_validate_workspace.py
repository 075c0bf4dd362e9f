from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_rows import FERRY, TEA, TOWER, write_unanswerable, write_workspace

from clara_model.errors import ConfigError, DataError
from tasks.rows.validate_workspace import fix_workspace, validate_workspace
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_workspace(tmp_path / "ws")


def change(path: Path, number: int, **fields: Any) -> None:
    rows = read_records(path)
    rows[number] |= fields
    write_jsonl(path, rows)


def faults(workspace: Workspace, **options: Any) -> set[tuple[str, str]]:
    reports = validate_workspace(workspace, **options)
    return {(report.path.name, issue.check) for report in reports for issue in report.errors}


def test_a_sound_workspace_passes(workspace: Workspace) -> None:
    assert faults(workspace) == set()
    rows = {r.path.name: sum(r.rows.values()) for r in validate_workspace(workspace)}
    assert rows["clara_training_data.jsonl"] == 4
    assert rows["passages.jsonl"] == 4


@pytest.mark.parametrize(
    ("name", "number", "fields", "expected"),
    [
        ("instruction_data.jsonl", 0, {"docs": [FERRY, TOWER[:40] + " Mara Venn"]},
         ("instruction_data.jsonl", "documents")),
        ("instruction_data.jsonl", 0, {"docs": [TOWER], "pos_index": [0]},
         ("instruction_data.jsonl", "top_k")),
        ("passages.jsonl", 0, {"tokens": 65}, ("passages.jsonl", "documents")),
        ("clara_training_data.jsonl", 2, {"answer": "Somebody."},
         ("clara_training_data.jsonl", "schema")),
        ("end_to_end_data.jsonl", 0, {"docs": [TOWER, FERRY, TEA], "pos_index": [0]},
         ("oracle.jsonl", "leaks")),
        ("passages.jsonl", 1, {"split": "benchmark"}, ("audit.json", "split")),
    ],
    ids=["cut document", "top-k", "long passage", "not together", "leak", "split"],
)  # fmt: skip
def test_what_does_not_fit_together_is_found(
    workspace: Workspace, name: str, number: int, fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    change(workspace.root / name, number, **fields)
    assert expected in faults(workspace)


def test_a_top_k_of_ones_own_counts_instead(workspace: Workspace) -> None:
    assert ("instruction_data.jsonl", "top_k") in faults(workspace, top_k=1)


def test_a_folder_without_rows_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row files"):
        validate_workspace(Workspace(tmp_path))


def test_a_fixed_workspace_is_a_copy_that_fits_together(workspace: Workspace) -> None:
    change(workspace.instruction_data, 0, docs=[FERRY, TOWER, TOWER[:30]])
    out = workspace.root.parent / "fixed"
    reports = fix_workspace(workspace, out)
    assert all(report.after and report.after.is_valid for report in reports)
    (row,) = read_records(out / "instruction_data.jsonl")
    assert row["docs"] == [FERRY, TOWER]
    assert [r["stage"] for r in read_records(out / "clara_training_data.jsonl")] == [
        "stage1", "stage1", "stage2", "stage3",
    ]  # fmt: skip
    assert len(read_records(workspace.instruction_data)[0]["docs"]) == 3
    with pytest.raises(ConfigError, match="overwrite"):
        fix_workspace(workspace, workspace.root)


def test_held_out_questions_without_answer_are_checked_and_copied(workspace: Workspace) -> None:
    row = write_unanswerable(workspace)
    path = workspace.benchmark / "unanswerable.jsonl"
    assert faults(workspace) == set()
    out = workspace.root.parent / "fixed"
    fix_workspace(workspace, out)
    assert read_records(out / "benchmark" / "unanswerable.jsonl") == [row]
    write_jsonl(path, [row, row])
    assert ("unanswerable.jsonl", "duplicates") in faults(workspace)
    write_jsonl(path, [row | {"docs": [TEA]}])
    assert ("unanswerable.jsonl", "top_k") in faults(workspace)
    write_jsonl(path, [row | {"question": "Who built the tower?"}])
    found = faults(workspace)
    assert ("unanswerable.jsonl", "leaks") in found
    assert ("audit.json", "split") in found
