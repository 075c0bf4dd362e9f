"""What a step is doing now, or how its last try ended, as a small file beside the manifests."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel

from tasks.housekeeping.redact import redact
from tasks.storage import write_json
from tasks.workspace import Workspace

_LONGEST = 500


class StepState(BaseModel):
    """The last try of a step that has not ended well.

    Args:
        step: Its name.
        state: What the file says; a `running` one whose process is gone was interrupted.
        run_id: The pipeline run.
        host: Machine.
        pid: Process there.
        born: When that process was started, in seconds since 1970: ids are used again.
        since: When the try began, or ended.
        error: Why it failed.
    """

    step: str
    state: Literal["running", "failed", "interrupted"]
    run_id: str
    host: str
    pid: int
    born: float
    since: str
    error: str = ""

    @property
    def is_alive(self) -> bool | None:
        """Whether its process runs; None if it is another machine's and cannot be seen."""
        if self.host != platform.node():
            return None
        try:
            return abs(psutil.Process(self.pid).create_time() - self.born) < 2.0
        except psutil.NoSuchProcess:
            return False


@contextmanager
def watch_step(workspace: Workspace, step: str, run_id: str) -> Iterator[None]:
    """Note that a step runs, and how it ends; nothing is left of one that ends well."""
    path = _path(workspace, step)
    state = StepState(
        step=step, state="running", run_id=run_id, host=platform.node(), pid=os.getpid(),
        born=psutil.Process().create_time(), since=_now(),
    )  # fmt: skip
    _write(path, state)
    try:
        yield
    except Exception as err:
        error = redact(f"{type(err).__name__}: {err}")[:_LONGEST]
        with suppress(OSError):  # on a full disk the failure itself is what is to be told
            failed = {"state": "failed", "since": _now(), "error": error}
            _write(path, state.model_copy(update=failed))
        raise
    except BaseException:
        with suppress(OSError):
            _write(path, state.model_copy(update={"state": "interrupted", "since": _now()}))
        raise
    path.unlink(missing_ok=True)


def read_step_state(workspace: Workspace, step: str) -> StepState | None:
    """How the last try of a step stands, or None if it ended well or never was."""
    try:
        text = _path(workspace, step).read_text(encoding="utf-8")
        state = StepState.model_validate_json(text)
    except (FileNotFoundError, ValueError):  # none, or damaged
        return None
    if state.state == "running" and state.is_alive is False:
        return state.model_copy(update={"state": "interrupted"})
    return state


def _write(path: Path, state: StepState) -> None:
    write_json(path, json.loads(state.model_dump_json()))


def _folder(workspace: Workspace) -> Path:
    return workspace.manifests / ".steps"


def _path(workspace: Workspace, step: str) -> Path:
    return _folder(workspace) / f"{step}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
