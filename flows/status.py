"""`clara status`: what of a workspace is done, stale, running or failed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.load import load_config
from tasks.housekeeping.status import WorkspaceStatus, read_status
from tasks.tracking.address import resolved_uri
from tasks.tracking.send import Sender
from tasks.tracking.spool import spool_folder
from tasks.travel.mirror import open_workspace
from tasks.workspace import Workspace

_COLOURS = {
    "done": "green", "stale": "yellow", "to do": "white", "running": "cyan",
    "interrupted": "yellow", "failed": "red",
}  # fmt: skip


def show_status(config: Path, overrides: Sequence[str], *, send: bool, as_json: bool) -> int:
    """Print the state of every step; returns 1 if one has failed or sending has, else 0.

    Args:
        config: The configuration file.
        overrides: Values that replace the file's.
        send: First send to MLflow what waits.
        as_json: Print it as JSON.
    """
    settings = load_config(config, overrides)
    workspace = open_workspace(settings)
    failure = None
    sent = 0
    if send:
        sender = Sender(spool_folder(workspace), resolved_uri(settings, workspace))
        failure, sent = sender.send_all(), sender.sent
    status = read_status(settings, workspace)
    if as_json:
        found = {"workspace": str(workspace.root), **asdict(status)}
        if send:
            found |= {"sent": sent, "failure": failure}
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    else:
        _print(Console(), workspace, status)
        if send:
            outcome = f"; the rest waits: {failure}" if failure else ""
            Console().print(f"{sent} records sent to MLflow{outcome}", markup=False)
    failed = any(step.state == "failed" for step in status.steps)
    return int(failed or failure is not None)


def _print(console: Console, workspace: Workspace, status: WorkspaceStatus) -> None:
    table = Table(title=str(workspace.root), title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("step", "what it does", "state", "detail"):
        table.add_column(column, overflow="fold")
    for step in status.steps:
        colour = _COLOURS[step.state]
        table.add_row(step.step, step.title, f"[{colour}]{step.state}[/]", escape(step.detail))
    console.print(table)
    if status.waiting:
        console.print(
            f"{status.waiting} records wait for MLflow; `clara status --send` sends them.",
            highlight=False,
        )
    for name, count in status.refused.items():
        console.print(f"MLflow refused {name}: {count} times", markup=False, highlight=False)
