"""Registered versions on an object store: each content once, and for each version a list of files.

A list is written last, so it names only what has arrived. Stages share their base, and so do
trainings: what lies there already is not sent again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from clara_model.errors import DataError
from configs.places import place_workspace
from configs.schema import PipelineConfig
from tasks.manifests import hash_files
from tasks.storage import hash_file
from tasks.travel.mirror import Mirror, open_remote, require_room
from tasks.travel.state import is_below, read_state
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

REGISTRY = "registry"
_CONTENTS = f"{REGISTRY}/files"
_LIST = "FILES.json"

Files = dict[str, Any]


def is_remote(address: str) -> bool:
    """Whether a version's address is one on a store, and not a folder here."""
    return "://" in address and not address.startswith("file://")


def list_version(mirror: Mirror, name: str) -> Files:
    """The files of a version that the store has, each with "size" and "sha256"; {} of none."""
    return _read_list(mirror.remote.read(f"{REGISTRY}/{name}/{_LIST}"))


def send_version(mirror: Mirror, name: str, files: Mapping[str, Path], kept: Files) -> str:
    """Send a version's files, then their list.

    Args:
        mirror: Whose store.
        name: Of the version.
        files: By their names in the version, those that are new or may have changed.
        kept: Files that the version has already, as `list_version` gives them.

    Returns:
        The version's address.
    """
    remote = mirror.remote
    there = remote.list_files(_CONTENTS)
    hashes = hash_files(files.values(), mirror.workspace)
    listed = dict(kept)
    for label, path in files.items():
        entry = {"size": path.stat().st_size, "sha256": hashes[path]}
        content = f"{_CONTENTS}/{entry['sha256']}"
        if there.get(content) != entry["size"]:
            remote.upload(path, content, str(entry["sha256"]))
            there[content] = path.stat().st_size
        listed[label] = entry
    if listed != kept:
        text = json.dumps(listed, indent=2, sort_keys=True) + "\n"
        remote.write(f"{REGISTRY}/{name}/{_LIST}", text.encode())
        log.info("sent %s to %s/%s", name, remote.uri, REGISTRY)
    return f"{remote.uri}/{REGISTRY}/{name}"


def local_folder(address: str, config: PipelineConfig | None = None) -> Path:
    """Where the copy of a version lies on this machine, or would lie: in its workspace's mirror.

    Args:
        address: As `send_version` gives it.
        config: Says where mirrors lie; None for the usual place.
    """
    return _mirror_root(address, config) / REGISTRY / address.rpartition("/")[2]


def fetch_version(address: str, config: PipelineConfig | None = None, only: str = "") -> Path:
    """Bring a version here, or what of it differs; every file is what it was when it was sent.

    Args:
        address: As `send_version` gives it.
        config: Says where mirrors lie; None for the usual place.
        only: A file or folder of it; all by default.

    Raises:
        DataError: If the store has no such version, or something else under its name.
        ServiceError: If the store does not answer.
    """
    uri, _, name = address.rpartition(f"/{REGISTRY}/")
    workspace = Workspace(_mirror_root(address, config))
    folder, remote = workspace.root / REGISTRY / name, open_remote(uri)
    files = _read_list(remote.read(f"{REGISTRY}/{name}/{_LIST}"))
    if not files:
        raise DataError(f"{address}: there is no such version; `clara evaluate` registers one")
    wanted = {label: e for label, e in files.items() if not only or is_below(label, only)}
    here = hash_files([p for label in wanted if (p := folder / label).is_file()], workspace)
    missing = {n: e for n, e in wanted.items() if here.get(folder / n) != e["sha256"]}
    twins = _twins(workspace)
    missing = {
        label: entry
        for label, entry in missing.items()
        if not _link(twins.get(entry["sha256"]), folder / label, entry["sha256"])
    }
    require_room(Mirror(remote, workspace), sum(entry["size"] for entry in missing.values()))
    for label, entry in missing.items():
        remote.download(f"{_CONTENTS}/{entry['sha256']}", folder / label, entry["sha256"])
    if missing:
        log.info("fetched %d files of %s", len(missing), address)
    return folder


def _mirror_root(address: str, config: PipelineConfig | None) -> Path:
    uri = address.rpartition(f"/{REGISTRY}/")[0]
    if config is not None and config.remote is not None and config.remote.rstrip("/") == uri:
        return config.workspace
    cache = config.execution.cache if config is not None else None
    placed = place_workspace({"workspace": uri, "execution": {"cache": cache}})
    return Path(placed["workspace"])


def _twins(workspace: Workspace) -> dict[str, Path]:
    """Results of the mirror by content: what a version holds may lie here already."""
    state = read_state(workspace.root)
    files = state.files if state else {}
    return {entry["sha256"]: workspace.root / name for name, entry in files.items()}


def _link(twin: Path | None, target: Path, sha256: str) -> bool:
    """Put a hard link to a file of the same content in place; false if there is none."""
    with suppress(OSError):
        if twin is not None and twin.is_file() and hash_file(twin) == sha256:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            partial.unlink(missing_ok=True)
            os.link(twin, partial)
            os.replace(partial, target)
            return True
    return False


def _read_list(content: bytes | None) -> Files:
    """What a list names; nothing if it is absent, damaged, or names places outside of its folder.

    A version without a list is sent again by whoever registers it.
    """
    try:
        files = json.loads(content or b"")
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    if not isinstance(files, dict):
        return {}
    inside = all(not PurePosixPath(n).is_absolute() and ".." not in Path(n).parts for n in files)
    return files if inside else {}
