"""What a mirror knows of its remote workspace, in one file. Light: anything may ask."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.storage import hash_json, write_json

_FILE = Path(".travel") / "state.json"


@dataclass(frozen=True)
class State:
    """The remote workspace as it was when last looked at.

    Args:
        uri: Where it is.
        files: Its files by name, each with "size" and "sha256"; without those of steps that were
            finished here anew.
        folders: Which results are folders; they may be empty.
        synced: Of each step, the identity of the manifest that both sides had.
    """

    uri: str
    files: dict[str, Any]
    folders: list[str]
    synced: dict[str, str | None]


def read_state(root: Path) -> State | None:
    """None for a folder that is no mirror, and for one that was never refreshed."""
    path = root / _FILE
    if not path.is_file():
        return None
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError):
        return None


def write_state(root: Path, state: State) -> None:
    """Write it, atomically."""
    write_json(root / _FILE, asdict(state))


def forget_paths(root: Path, paths: tuple[Path, ...]) -> None:
    """From now on what lies here counts, as a step is about to make some files anew."""
    state = read_state(root)
    if state is None:
        return
    labels = [path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)]
    files = {n: e for n, e in state.files.items() if not any(is_below(n, x) for x in labels)}
    folders = [name for name in state.folders if not any(is_below(name, x) for x in labels)]
    write_state(root, State(state.uri, files, folders, state.synced))


def listed_hash(path: Path, root: Path) -> str | None:
    """The hash of a result that the remote workspace has, whether or not it has been fetched.

    None if it has none, or this is no mirror. The same as `tasks.manifests.hash_path` gives.
    """
    state = read_state(root)
    if state is None or not path.is_relative_to(root):
        return None
    label = path.relative_to(root).as_posix()
    if label in state.files:
        return str(state.files[label]["sha256"])
    inside = {n: e["sha256"] for n, e in state.files.items() if is_below(n, label)}
    if not inside and label not in state.folders:
        return None
    return hash_json({name.removeprefix(f"{label}/"): value for name, value in inside.items()})


def is_below(name: str, label: str) -> bool:
    """Whether a name is a path or lies in that folder."""
    return name == label or name.startswith(f"{label}/")
