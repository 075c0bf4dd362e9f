"""What a workspace holds that no manifest needs: found first, removed only when told."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.housekeeping.status import running_by
from tasks.leases import FolderLeases, read_leases
from tasks.manifests import Step, is_current, read_manifest
from tasks.plan import STAGES, build_plan
from tasks.tracking.registry import versions_folder
from tasks.workspace import Workspace

_ABANDONED_S = 3600.0  # a temporary file this old is not being written any more
_TEMPORARY = (".tmp", ".new", ".new-journal")
# Folders and files of steps on their way that are not named after them.
_WORKS_FOR = {"evaluation": "evaluate", "caption-ocr": "caption"}
_ASKING = ("caption", "synthesize", "mine")


@dataclass(frozen=True)
class Garbage:
    """A file or folder that can go.

    Args:
        path: Where.
        size: Bytes, of which those shared by a hard link with another file are not counted.
        reason: Why nothing needs it.
    """

    path: Path
    size: int
    reason: str


def find_garbage(
    config: PipelineConfig,
    workspace: Workspace,
    *,
    replies: bool = False,
    kept_versions: Collection[Path] | None = None,
) -> list[Garbage]:
    """Checkpoints, journals, caches and leftovers that no manifest of the plan needs.

    Args:
        config: Says which steps there are.
        workspace: Looked at; links lead nowhere.
        replies: Also the replies of endpoints, if the steps that asked are done: they are paid
            for, and asking the same again costs the same again.
        kept_versions: Folders of registered versions that stay; None keeps all.

    Raises:
        DataError: If a step is running here.
    """
    plan = build_plan(config, workspace)
    # Who works in another mirror of the same remote workspace needs nothing that lies here.
    held = read_leases(FolderLeases(workspace.root / "leases"), plan)
    for name in plan:
        if who := running_by(workspace, name, held):
            raise DataError(
                f"{workspace.root}: {name} is running {who}; come again when it is done"
            )
    done = {name for name, step in plan.items() if is_current(step, workspace)}
    found = [
        *_progress(workspace, plan, done),
        *_models(workspace, plan),
        *_memories(workspace, plan, done),
        *_replies(workspace, plan, done, replies),
        *_versions(workspace, kept_versions),
        *_leftovers(workspace),
    ]
    # What lies in a folder that goes is not named once more.
    folders = {path for path, _ in found}
    return [
        Garbage(path, _size(path), reason)
        for path, reason in found
        if not folders & set(path.parents)
    ]


def remove_garbage(garbage: Collection[Garbage]) -> int:
    """Remove what was found; returns the bytes that are free now."""
    freed = 0
    for item in garbage:
        if item.path.is_dir() and not item.path.is_symlink():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
        freed += item.size
    return freed


Found = Iterator[tuple[Path, str]]


def _progress(workspace: Workspace, plan: dict[str, Step], done: Collection[str]) -> Found:
    """Journals and checkpoints on the way of steps that have nothing left to do."""
    for path in _entries(workspace.progress):
        name = path.name.partition(".")[0]
        step = _WORKS_FOR.get(name, "evaluate" if name.startswith("evaluations-") else name)
        if step in done:
            yield path, f"'{step}' is done"
        elif step in STAGES and step not in plan:
            yield path, f"the plan has no step '{step}'"


def _models(workspace: Workspace, plan: dict[str, Step]) -> Found:
    needed = {path for step in plan.values() for path in (*step.inputs, *step.outputs)}
    for path in _entries(workspace.models):
        known = any(other == path or path in other.parents for other in needed)
        if not known and not path.is_symlink():
            yield path, "no step of the plan reads or writes it"


def _memories(workspace: Workspace, plan: dict[str, Step], done: Collection[str]) -> Found:
    """Compressed documents, where nothing is there or on its way that uses them."""
    users = ("index", "stage3")
    is_used = any(
        read_manifest(workspace, name) or (workspace.progress / name).exists() for name in users
    )
    store, negatives = workspace.memory / "store", workspace.memory / "negatives"
    if store.is_dir() and not is_used:
        yield store, "neither an index nor stage 3 uses it; it is made again when needed"
    if negatives.is_dir() and ("remine" not in plan or "remine" in done):
        yield negatives, "the negatives by memories are mined"


def _replies(
    workspace: Workspace, plan: dict[str, Step], done: Collection[str], wanted: bool
) -> Found:
    asking = [name for name in _ASKING if name in plan]
    if wanted and workspace.cache.is_dir() and all(name in done for name in asking):
        for path in _entries(workspace.cache):
            if path.name != "spent":  # what was paid: limits of cost count on it
                yield path, f"{', '.join(asking)} are done"


def _versions(workspace: Workspace, kept: Collection[Path] | None) -> Found:
    if kept is None:
        return
    current = {
        manifest["fingerprint"]
        for stage in STAGES
        if (manifest := read_manifest(workspace, stage)) is not None
    }
    for path in _entries(versions_folder(workspace)):
        try:
            version = json.loads((path / "version.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if path.resolve() not in kept and version["fingerprint"] not in current:
            yield path, "a registered version without an alias, of a training that was replaced"


def _leftovers(workspace: Workspace) -> Found:
    """Temporary files of processes that were killed."""
    before = time.time() - _ABANDONED_S
    for path in sorted(workspace.root.rglob(".*")):
        is_ours = path.name.endswith(_TEMPORARY) or path.name.startswith(".step-")
        if is_ours and not path.is_symlink() and path.stat().st_mtime < before:
            yield path, "left by a process that was killed"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*")) if folder.is_dir() else []


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    stats = (file.lstat() for file in files)
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)
