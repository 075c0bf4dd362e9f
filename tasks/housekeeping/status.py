"""What of a pipeline is done, stale, running or failed, from what lies in its workspace."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from configs.schema import PipelineConfig
from tasks.housekeeping.step_state import StepState, read_step_state
from tasks.leases import read_leases
from tasks.manifests import Manifest, Step, is_current, read_manifest
from tasks.plan import build_plan
from tasks.tracking.spool import count_refused, count_waiting
from tasks.travel.failures import read_failures
from tasks.travel.mirror import open_leases, open_mirror
from tasks.workspace import Workspace

State = Literal["done", "stale", "to do", "running", "interrupted", "failed"]


@dataclass(frozen=True)
class StepStatus:
    """One step.

    Args:
        step: Its name.
        title: What it does.
        state: "stale": it was done, with other settings, inputs or code; "interrupted": a try was
            cut off, and the next one continues.
        detail: Since when, where, or why.
        seconds: What its last finished run took, or None.
    """

    step: str
    title: str
    state: State
    detail: str
    seconds: float | None


@dataclass(frozen=True)
class WorkspaceStatus:
    """A whole workspace.

    Args:
        steps: In the order of the plan.
        waiting: Records that MLflow has not got yet.
        refused: How often MLflow has refused what.
    """

    steps: tuple[StepStatus, ...]
    waiting: int
    refused: dict[str, int]


def read_status(config: PipelineConfig, workspace: Workspace) -> WorkspaceStatus:
    """The state of every step that the configuration asks for."""
    plan = build_plan(config, workspace)
    held = read_leases(open_leases(config, workspace), plan)
    mirror = open_mirror(config, workspace)
    failures = read_failures(mirror, plan) if mirror is not None else {}
    stale: set[str] = set()
    steps = []
    for step in plan.values():
        last = _last_try(step, workspace, mirror is not None, failures)
        status = _describe(step, workspace, plan, stale, held, last)
        if status.state != "done":
            stale.add(step.name)
        steps.append(status)
    return WorkspaceStatus(tuple(steps), count_waiting(workspace), count_refused(workspace))


def running_by(workspace: Workspace, step: str, held: Mapping[str, str]) -> str:
    """Who is at a step now, in words, or nothing.

    Args:
        workspace: Where it may be running.
        step: Its name.
        held: Who holds which step's lease.
    """
    state = read_step_state(workspace, step)
    if state is not None and state.state == "running" and state.is_alive is not None:
        return f"on {state.host}, process {state.pid}, since {state.since}"
    return f"by {held[step]}" if step in held else ""


def _last_try(
    step: Step, workspace: Workspace, is_mirror: bool, failures: Mapping[str, StepState]
) -> StepState | None:
    """How the last try of a step stands, if it has not ended well.

    What failed here may have been done by another machine since: a mirror's own note then counts
    only as long as the step is not done.
    """
    if not is_mirror:
        return read_step_state(workspace, step.name)
    last = failures.get(step.name)
    if last is None and not is_current(step, workspace):
        last = read_step_state(workspace, step.name)
    return last


def _describe(
    step: Step, workspace: Workspace, plan: dict[str, Step], pending: set[str],
    held: Mapping[str, str], last: StepState | None,
) -> StepStatus:  # fmt: skip
    manifest = read_manifest(workspace, step.record)
    seconds = manifest.get("seconds") if manifest else None

    def status(state: State, detail: str) -> StepStatus:
        return StepStatus(step.name, step.title, state, detail, seconds)

    if running := running_by(workspace, step.name, held):
        return status("running", running)
    if last is not None and last.state == "failed":
        elsewhere = "" if last.host == platform.node() else f" on {last.host}"
        return status("failed", f"{last.since}{elsewhere}: {last.error}")
    if last is not None:
        return status("interrupted", f"at {last.since}; the next run continues")
    if manifest is None:
        if (workspace.progress / step.name).exists():
            return status("interrupted", "the next run continues")
        return status("to do", "")
    if is_current(step, workspace) and not _behind(step, plan, pending):
        return status("done", str(manifest.get("finished", "")))
    return status("stale", _why(step, manifest, plan, pending))


def _why(step: Step, manifest: Manifest, plan: dict[str, Step], pending: set[str]) -> str:
    """What has changed since a step was done."""
    if manifest.get("version") != step.version:
        return "its code gives other results now"
    changed = [
        name
        for name in sorted({*_flat(step.settings), *_flat(manifest.get("settings"))})
        if _flat(step.settings).get(name) != _flat(manifest.get("settings")).get(name)
    ]
    if changed:
        return f"other settings: {', '.join(changed[:3])}"
    if before := _behind(step, plan, pending):
        return f"comes after {before}, which is not done"
    missing = [path.name for path in step.outputs if not path.exists()]
    if missing:
        return f"its result is gone: {', '.join(missing)}"
    return "its inputs or results have changed"


def _behind(step: Step, plan: dict[str, Step], pending: set[str]) -> str | None:
    """A step before this one, whose results it reads, that has to be done (again)."""
    for name in pending:
        if set(plan[name].outputs) & set(step.inputs):
            return name
    return None


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Settings by dotted name, as JSON text: what a manifest read back is compared by."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, inner in value.items():
            found |= _flat(inner, f"{prefix}{name}.")
        return found
    return {prefix.rstrip(".") or "settings": json.dumps(value, default=str)}
