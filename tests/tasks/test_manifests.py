from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clara_model.errors import DataError
from tasks.manifests import Step, is_current, read_manifest, recorded_steps, run_step
from tasks.storage import Reject, StepResult, read_records
from tasks.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "in.txt").write_text("input")
    return Workspace(tmp_path)


def a_step(workspace: Workspace, *, version: int = 1, settings: object = None) -> Step:
    root = workspace.root
    return Step("copy", "copies", version, settings, (root / "in.txt",), (root / "out.txt",))


def do(workspace: Workspace) -> StepResult:
    (workspace.root / "out.txt").write_text((workspace.root / "in.txt").read_text())
    return StepResult({"rows": 3}, (Reject("copy", "x", "broken"),))


def test_a_finished_step_is_current_and_its_manifest_tells_counts(workspace: Workspace) -> None:
    step = a_step(workspace)
    assert not is_current(step, workspace)
    run_step(step, workspace, lambda: do(workspace))
    assert is_current(step, workspace)
    manifest = read_manifest(workspace, "copy")
    assert manifest is not None
    assert manifest["counts"] == {"rows": 3}
    assert read_records(workspace.rejected) == [{"step": "copy", "item": "x", "reason": "broken"}]


def test_changed_input_settings_version_or_output_make_a_step_stale(workspace: Workspace) -> None:
    run_step(a_step(workspace), workspace, lambda: do(workspace))
    assert not is_current(a_step(workspace, version=2), workspace)
    assert not is_current(a_step(workspace, settings={"rate": 8}), workspace)
    (workspace.root / "out.txt").write_text("edited by hand")
    assert not is_current(a_step(workspace), workspace)
    (workspace.root / "out.txt").write_text("input")
    assert is_current(a_step(workspace), workspace)
    (workspace.root / "in.txt").write_text("another")
    assert not is_current(a_step(workspace), workspace)


def test_variants_of_a_step_stand_side_by_side(workspace: Workspace) -> None:
    own = a_step(workspace)
    other = replace(a_step(workspace, settings={"k": 2}), variant="samples")
    for step in (own, other, other):
        run_step(step, workspace, lambda: do(workspace))
    assert is_current(own, workspace)
    assert is_current(other, workspace)
    assert recorded_steps(workspace) == ["copy"]
    assert [row["step"] for row in read_records(workspace.rejected)] == ["copy", "copy@samples"]


def test_a_step_that_fails_leaves_no_manifest(workspace: Workspace) -> None:
    def fail() -> StepResult:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_step(a_step(workspace), workspace, fail)
    assert read_manifest(workspace, "copy") is None


def test_a_missing_input_is_named_with_the_remedy(workspace: Workspace) -> None:
    (workspace.root / "in.txt").unlink()
    with pytest.raises(DataError, match=r"in\.txt: not there; `clara run`"):
        run_step(a_step(workspace), workspace, lambda: do(workspace))


def test_what_a_killed_run_had_half_written_is_removed(workspace: Workspace) -> None:
    half, others = workspace.root / ".out.txt.ab12.tmp", workspace.root / ".in.txt.ab12.tmp"
    half.write_text("hal")
    others.write_text("of another step")
    run_step(a_step(workspace), workspace, lambda: do(workspace))
    assert not half.exists()
    assert others.exists()


def test_a_step_that_leaves_an_output_out_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"without writing .*out\.txt"):
        run_step(a_step(workspace), workspace, lambda: StepResult({}))


def test_a_damaged_manifest_counts_as_absent(workspace: Workspace) -> None:
    run_step(a_step(workspace), workspace, lambda: do(workspace))
    (workspace.manifests / "copy.json").write_text("{half")
    assert not is_current(a_step(workspace), workspace)


def test_a_workspace_that_moved_is_still_current(workspace: Workspace, tmp_path: Path) -> None:
    run_step(a_step(workspace), workspace, lambda: do(workspace))
    moved = Workspace(tmp_path.parent / f"{tmp_path.name}-moved")
    tmp_path.rename(moved.root)
    assert is_current(a_step(moved), moved)
