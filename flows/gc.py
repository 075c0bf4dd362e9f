"""`clara gc`: list what no manifest needs; remove it only with --yes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clara_model.errors import ServiceError
from configs.load import load_config
from tasks.housekeeping.garbage import Garbage, find_garbage, remove_garbage
from tasks.tracking.promotion import aliased_folders
from tasks.travel.mirror import open_workspace
from tasks.workspace import Workspace

_MB = 1 << 20


def collect(
    config: Path, overrides: Sequence[str], *, yes: bool, replies: bool, as_json: bool
) -> None:
    """Print what can go, and with `yes` remove it."""
    settings = load_config(config, overrides)
    workspace = open_workspace(settings)
    console = Console(stderr=as_json)
    try:
        kept = aliased_folders(settings, workspace)
    except ServiceError as err:
        console.print(f"versions of the registry all stay: {err}", style="yellow", markup=False)
        kept = None
    found = find_garbage(settings, workspace, replies=replies, kept_versions=kept)
    freed = remove_garbage(found) if yes else 0
    if as_json:
        items = [{"path": str(g.path), "size": g.size, "reason": g.reason} for g in found]
        sys.stdout.write(json.dumps({"garbage": items, "removed": yes, "freed": freed}) + "\n")
        return
    if not found:
        console.print("Nothing here that is not needed.")
        return
    _print(console, workspace, found)
    total = sum(item.size for item in found) / _MB
    if yes:
        console.print(f"{total:.1f} MB removed.", highlight=False)
    else:
        console.print(f"{total:.1f} MB in all; nothing was removed: add --yes.", highlight=False)


def _print(console: Console, workspace: Workspace, found: Sequence[Garbage]) -> None:
    table = Table(title=str(workspace.root), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("what", overflow="fold")
    table.add_column("MB", justify="right")
    table.add_column("why nothing needs it", overflow="fold")
    for item in found:
        name = str(item.path.relative_to(workspace.root))
        table.add_row(escape(name), f"{item.size / _MB:.1f}", escape(item.reason))
    console.print(table)
