"""What of a pipeline is done, stale, running or failed, from what lies in its workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from configs.schema import PipelineConfig
from tasks.housekeeping.step_state import StepState, read_step_state
from tasks.leases import FolderLeases
from tasks.manifests import Manifest, Step, is_current, read_manifest
from tasks.plan import build_plan
from tasks.tracking.spool import count_refused, count_waiting
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
    stale: set[str] = set()
    steps = []
    for step in plan.values():
        status = _describe(step, workspace, plan, stale)
        if status.state != "done":
            stale.add(step.name)
        steps.append(status)
    return WorkspaceStatus(tuple(steps), count_waiting(workspace), count_refused(workspace))


def running_by(workspace: Workspace, step: str) -> str:
    """Who is at a step now, in words, or nothing."""
    state = read_step_state(workspace, step)
    if state is not None and state.state == "running" and state.is_alive is not None:
        return f"on {state.host}, process {state.pid}, since {state.since}"
    if lease := _lease(workspace, step, state):
        return f"by {lease.get('who', 'another worker')} since {lease.get('since', '?')}"
    return ""


def _describe(
    step: Step, workspace: Workspace, plan: dict[str, Step], pending: set[str]
) -> StepStatus:
    manifest = read_manifest(workspace, step.name)
    seconds = manifest.get("seconds") if manifest else None

    def status(state: State, detail: str) -> StepStatus:
        return StepStatus(step.name, step.title, state, detail, seconds)

    if running := running_by(workspace, step.name):
        return status("running", running)
    last = read_step_state(workspace, step.name)
    if last is not None and last.state == "failed":
        return status("failed", f"{last.since}: {last.error}")
    if last is not None:
        return status("interrupted", f"at {last.since}; the next run continues")
    if manifest is None:
        if (workspace.progress / step.name).exists():
            return status("interrupted", "the next run continues")
        return status("to do", "")
    if is_current(step, workspace) and not _behind(step, plan, pending):
        return status("done", str(manifest.get("finished", "")))
    return status("stale", _why(step, manifest, plan, pending))


def _lease(workspace: Workspace, step: str, state: StepState | None) -> dict[str, Any] | None:
    """A lease, unless its owner is known to have died: it is the same process as the state's."""
    text = FolderLeases(workspace.root / "leases").read(step)
    try:
        lease = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(lease, dict):
        return None
    died = state is not None and state.state != "running" and state.pid == lease.get("pid")
    return None if died else lease


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
