"""Flow runs of a Prefect server that is about to end: none is left that seems to go on."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import psutil

from clara_model.training.process import GRACE_S
from flows.continuing import continuing_command

# A stage saves, its flow unwinds, and its worker tells the server.
_SAVE_S = GRACE_S + 30.0
_POLL_S = 0.5

Say = Callable[[str], None]


def ask_api(address: str, body: dict[str, Any] | None = None) -> Any:
    """What a Prefect server answers; a body is posted.

    Raises:
        OSError: If it does not answer, or refuses.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def cancel_runs(api: str, pools: Sequence[str], say: Say) -> list[dict[str, Any]]:
    """Ask the workers of some pools to stop what they are at, as if it were cancelled on the page.

    A run that is not cancelled dies with its worker: it would show as running, and keep the only
    place of its deployment, until the server gives up on it.

    Returns:
        The runs, each with the name of its `flow`; none where the server does not answer.
    """
    runs: list[dict[str, Any]] = []
    with suppress(OSError):
        for run in _runs(api, pools, "PENDING", "RUNNING"):
            say(f"stopping {run['flow']} (run {run['name']})")
            _set_state(api, run, "CANCELLING")
            runs.append(run)
    return runs


def wait_for_runs(workers: Iterable[int]) -> None:
    """Wait until workers (process ids) have nothing under way, or saving takes too long."""
    processes = []
    for pid in workers:
        with suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    end = time.monotonic() + _SAVE_S
    while time.monotonic() < end and any(map(_has_children, processes)):
        time.sleep(_POLL_S)


def close_runs(api: str, pools: Sequence[str], stopped: Sequence[dict[str, Any]], say: Say) -> None:
    """After the workers have ended: nothing goes on any more; say how each run is taken up again.

    Args:
        api: Address of the server's API.
        pools: Whose workers have ended.
        stopped: What `cancel_runs` has found.
        say: Told the commands.
    """
    runs = {run["id"]: run for run in stopped}
    with suppress(OSError):
        for run in _runs(api, pools, "PENDING", "RUNNING", "CANCELLING"):
            _set_state(api, run, "CANCELLED")
            runs[run["id"]] = run
    if runs:
        say("What was finished is kept. To go on, here or as a run of its deployment:")
    for command in dict.fromkeys(
        continuing_command(run["flow"], run["parameters"]) for run in runs.values()
    ):
        say(f"  {command}")


def _runs(api: str, pools: Sequence[str], *states: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = ask_api(
        f"{api}/flow_runs/filter",
        {"flow_runs": {"state": {"type": {"any_": states}}},
         "work_pools": {"name": {"any_": list(pools)}}},
    )  # fmt: skip
    for run in runs:
        run["flow"] = ask_api(f"{api}/flows/{run['flow_id']}")["name"]
    return runs


def _set_state(api: str, run: dict[str, Any], state: str) -> None:
    ask_api(f"{api}/flow_runs/{run['id']}/set_state", {"state": {"type": state}})


def _has_children(process: psutil.Process) -> bool:
    try:
        return any(child.status() != psutil.STATUS_ZOMBIE for child in process.children())
    except psutil.NoSuchProcess:
        return False
