"""The local mirror of a remote workspace: which files lie there, which lie here, what is newer.

A remote manifest is a step's manifest and the list of its files. It is written last, so it names
whole files only; a mirror works with the state that the manifests describe, and fetches a file when
a step needs it. What was finished here and could not be sent stays known, and is sent later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from clara_model.errors import ClaraError
from configs.schema import PipelineConfig
from tasks.leases import FolderLeases, LeaseStore
from tasks.manifests import Manifest, hash_files, read_manifest
from tasks.storage import Reject, hash_json, replace_rejects, write_json
from tasks.travel.remote import Remote, RemoteLeases, free_bytes
from tasks.travel.state import State, is_below, read_state, write_state
from tasks.travel.upload import finish_uploads
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

_GB = 1e9
_OWN_KEYS = ("files", "folders", "rejects")  # what a remote manifest has beside the step's


@dataclass(frozen=True)
class Mirror:
    """A remote workspace and its local folder."""

    remote: Remote
    workspace: Workspace


@cache
def open_remote(uri: str) -> Remote:
    """The one connection of this process to a store's folder."""
    return Remote(uri)


def open_mirror(config: PipelineConfig, workspace: Workspace) -> Mirror | None:
    """The mirror that a workspace is; None for an ordinary folder."""
    if config.remote is None:
        return None
    return Mirror(open_remote(config.remote), workspace)


def open_workspace(config: PipelineConfig, fetch: Sequence[str] = ()) -> Workspace:
    """The configured workspace in its present state, for commands that only read.

    Args:
        config: The pipeline's.
        fetch: Files and folders of a remote workspace that are needed here.
    """
    workspace = Workspace(config.workspace)
    mirror = open_mirror(config, workspace)
    if mirror is not None:
        refresh(mirror)
        fetch_paths(mirror, [workspace.root / name for name in fetch])
    return workspace


def open_leases(config: PipelineConfig, workspace: Workspace) -> LeaseStore:
    """Where the leases of a workspace lie: with its files, wherever they are at home."""
    mirror = open_mirror(config, workspace)
    if mirror is None:
        return FolderLeases(workspace.root / "leases")
    return RemoteLeases(mirror.remote)


def refresh(mirror: Mirror) -> State:
    """Take over what other workers have finished; manifests only, no files."""
    finish_uploads(mirror.remote)
    workspace = mirror.workspace
    workspace.manifests.mkdir(parents=True, exist_ok=True)
    old = read_state(workspace.root)
    known = old.synced if old else {}
    theirs = _remote_manifests(mirror.remote)
    state = State(mirror.remote.uri, {}, [], {})
    ours = {p.stem for p in workspace.manifests.glob("[!.]*.json")}
    for step in sorted(theirs.keys() | ours):
        manifest, seen = theirs.get(step), known.get(step)
        local = _identity(read_manifest(workspace, step))
        if manifest is None:
            if step not in theirs and local == seen:
                (workspace.manifests / f"{step}.json").unlink(missing_ok=True)
            continue
        identity = _identity(manifest)
        if local is not None and identity != local and identity == seen:
            state.synced[step] = identity  # finished anew here, and not sent yet
            continue
        if identity != local:
            _take_over(step, manifest, workspace)
        state.synced[step] = identity
        state.files.update(manifest["files"])
        state.folders.extend(manifest["folders"])
    write_state(workspace.root, state)
    return state


def is_sent(mirror: Mirror, step: str) -> bool:
    """Whether the remote workspace has the step as it was finished here."""
    state = read_state(mirror.workspace.root)
    return state is not None and state.synced.get(step) == _identity(
        read_manifest(mirror.workspace, step)
    )


def fetch_paths(mirror: Mirror, paths: Iterable[Path]) -> int:
    """Fetch what differs of some files and folders; returns the number of files.

    A folder is left with what the remote one has.

    Raises:
        ClaraError: If the disk has no room for it.
    """
    root = mirror.workspace.root
    state = read_state(root) or refresh(mirror)
    labels = [_label(path, root) for path in paths if path.is_relative_to(root)]
    wanted = {
        name: entry
        for name, entry in state.files.items()
        if any(is_below(name, label) for label in labels)
    }
    for folder in state.folders:
        if any(is_below(folder, label) for label in labels):
            (root / folder).mkdir(parents=True, exist_ok=True)
    here = hash_files([p for name in wanted if (p := root / name).is_file()], mirror.workspace)
    missing = {n: e for n, e in wanted.items() if here.get(root / n) != e["sha256"]}
    require_room(mirror, sum(entry["size"] for entry in missing.values()))
    for name, entry in missing.items():
        mirror.remote.download(name, root / name, entry["sha256"])
    for folder in state.folders:
        if any(is_below(folder, label) for label in labels):
            _remove_others(root, folder, state.files)
    if missing:
        log.info("fetched %d files from %s", len(missing), mirror.remote.uri)
    return len(missing)


def sent_files(mirror: Mirror, step: str) -> dict[str, Any]:
    """The files of a step that the remote workspace has, whoever made them."""
    manifest = _parse(mirror.remote.read(f"manifests/{step}.json"))
    return {} if manifest is None else dict(manifest["files"])


def note_sent(mirror: Mirror, step: str, manifest: Manifest) -> None:
    """Remember that the remote workspace has a step as it is here."""
    root = mirror.workspace.root
    state = read_state(root) or State(mirror.remote.uri, {}, [], {})
    state.synced[step] = _identity(manifest)
    state.files.update(manifest["files"])
    state.folders.extend(manifest["folders"])
    write_state(root, state)


def _identity(manifest: Manifest | None) -> str | None:
    if manifest is None:
        return None
    return hash_json({key: value for key, value in manifest.items() if key not in _OWN_KEYS})


def _take_over(step: str, manifest: Manifest, workspace: Workspace) -> None:
    own = {key: value for key, value in manifest.items() if key not in _OWN_KEYS}
    write_json(workspace.manifests / f"{step}.json", own)
    rejects = [Reject(step, row["item"], row["reason"]) for row in manifest["rejects"]]
    replace_rejects(workspace.rejected, step, rejects)


def _remote_manifests(remote: Remote) -> dict[str, Manifest | None]:
    """Of all finished steps; None for a damaged one, which is sent again or made again."""
    found: dict[str, Manifest | None] = {}
    for name in remote.list_files("manifests"):
        manifest = found[Path(name).stem] = _parse(remote.read(name))
        if manifest is None:
            log.warning("%s/%s is damaged, and will be replaced", remote.uri, name)
    return found


def _parse(content: bytes | None) -> Manifest | None:
    """A remote manifest; None if it is damaged or absent."""
    try:
        manifest = json.loads(content or b"")
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    whole = isinstance(manifest, dict) and manifest.keys() >= set(_OWN_KEYS)
    return manifest if whole else None


def require_room(mirror: Mirror, size: int) -> None:
    """Refuse to fetch what the disk has no room for.

    Raises:
        ClaraError: If so many bytes are more than are free.
    """
    free = free_bytes(mirror.workspace.root)
    if size > free:
        raise ClaraError(
            f"{mirror.workspace.root}: {size / _GB:.3g} GB of {mirror.remote.uri} are needed here, "
            f"and {free / _GB:.3g} GB are free; make room, or name another folder as "
            "execution.cache"
        )


def _remove_others(root: Path, folder: str, files: dict[str, Any]) -> None:
    """Remove what an earlier version of a folder had."""
    for path in (root / folder).rglob("*"):
        name = _label(path, root)
        is_hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.is_file() and name not in files and not is_hidden:
            path.unlink()


def _label(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
