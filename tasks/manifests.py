"""Manifests: what a step read, made and took, so that a second run knows there is nothing to do."""

from __future__ import annotations

import glob
import importlib.metadata
import json
import logging
import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from tasks.storage import StepResult, hash_file, hash_json, replace_rejects, write_json
from tasks.travel.state import listed_hash
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers", "peft", "deepspeed", "docling-slim", "openai", "prefect")


@dataclass(frozen=True)
class Step:
    """One step as the manifests see it.

    Args:
        name: Name of the step and of its manifest.
        title: What it does, for plans and tables.
        version: Raised by hand whenever the same inputs would give another result.
        settings: JSON value of everything in the configuration that decides the result.
        inputs: Files and folders it reads.
        outputs: Files and folders it leaves behind.
        variant: Of a step that is done in several ways side by side: which of them this is.
    """

    name: str
    title: str
    version: int
    settings: Any
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    variant: str = ""

    @property
    def record(self) -> str:
        """Name of its manifest, and of what it set aside: each variant has its own."""
        return f"{self.name}@{self.variant}" if self.variant else self.name


Manifest = dict[str, Any]


def read_manifest(workspace: Workspace, name: str) -> Manifest | None:
    """The manifest of a finished step, or None; an unreadable one counts as absent."""
    path = workspace.manifests / f"{name}.json"
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        log.warning("%s is damaged; its step will run again", path)
        return None
    return manifest if isinstance(manifest, dict) else None


def recorded_steps(workspace: Workspace) -> list[str]:
    """The pipeline's own steps that have a manifest; variants beside them are not among these."""
    names = sorted(path.stem for path in workspace.manifests.glob("[!.]*.json"))
    return [name for name in names if "@" not in name]


def fingerprint(step: Step, workspace: Workspace) -> str:
    """Hash of everything that decides the step's result: version, settings, input contents."""
    inputs = sorted(hash_path(path, workspace) for path in step.inputs)
    return hash_json([step.name, step.version, step.settings, inputs])


def is_current(step: Step, workspace: Workspace) -> bool:
    """Whether the step has run with these inputs and settings and its outputs are untouched."""
    manifest = read_manifest(workspace, step.record)
    if manifest is None or manifest.get("fingerprint") != fingerprint(step, workspace):
        return False
    return manifest.get("outputs") == _hash_all(step.outputs, workspace)


def run_step(step: Step, workspace: Workspace, work: Callable[[], StepResult]) -> Manifest:
    """Run a step's work, record what it set aside, and write its manifest last.

    Raises:
        DataError: If an input is missing, or the work left an output out.
    """
    missing = [str(path) for path in step.inputs if not path.exists()]
    if missing:
        raise DataError(
            f"step '{step.name}' needs {', '.join(missing)}: not there; "
            "`clara run` makes everything that is missing"
        )
    _sweep(step.outputs)
    before = fingerprint(step, workspace)
    started, worked = time.monotonic(), _processor_seconds()
    result = work()
    absent = [str(path) for path in step.outputs if not path.exists()]
    if absent:
        raise DataError(f"step '{step.name}' ended without writing {', '.join(absent)}")
    replace_rejects(workspace.rejected, step.record, result.rejects)
    manifest = {
        "step": step.name,
        "fingerprint": before,
        "version": step.version,
        "settings": step.settings,
        "settings_hash": hash_json(step.settings),
        "inputs": _hash_all(step.inputs, workspace),
        "outputs": _hash_all(step.outputs, workspace),
        "counts": result.counts,
        "seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(_processor_seconds() - worked, 2),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": code_version(),
        "python": platform.python_version(),
        "libraries": library_versions(),
    }
    write_json(workspace.manifests / f"{step.record}.json", manifest)
    return manifest


def _sweep(outputs: Sequence[Path]) -> None:
    """Remove what a killed process had half written of these; a step is done by one at a time."""
    for output in outputs:
        for partial in output.parent.glob(f".{glob.escape(output.name)}.*.tmp"):
            partial.unlink(missing_ok=True)
        for partial in output.rglob(".*.tmp") if output.is_dir() else ():
            if partial.is_file():
                partial.unlink(missing_ok=True)


def hash_path(path: Path, workspace: Workspace) -> str:
    """Hash of a file's or folder's contents; "absent" where there is none.

    A file's hash is remembered with its size and time, so large models are read once. In the mirror
    of a remote workspace it is what the remote one has, fetched or not.
    """
    listed = listed_hash(path, workspace.root)
    if listed is not None:
        return listed
    if not path.exists():
        return "absent"
    if path.is_file():
        return hash_files([path], workspace)[path]
    hashes = hash_files(list_files(path), workspace)
    return hash_json({str(p.relative_to(path)): value for p, value in hashes.items()})


def list_files(folder: Path) -> list[Path]:
    """A folder's files, without hidden ones."""
    return sorted(p for p in folder.rglob("*") if os.path.isfile(p) and not _is_hidden(p, folder))


def hash_files(paths: Iterable[Path], workspace: Workspace) -> dict[Path, str]:
    """Hashes of files that are here, remembered with their sizes and times."""
    cache_path = workspace.manifests / ".hashes.json"
    known = _read_known(cache_path)
    before = dict(known)
    hashes = {path: _hash_known(path, known) for path in paths}
    if known != before:
        write_json(cache_path, known)
    return hashes


def code_version() -> str:
    """Commit of the checkout the code runs from, or the installed version."""
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=root, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return importlib.metadata.version("clara-pipeline")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide results, of those installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _read_known(path: Path) -> dict[str, list[Any]]:
    """Remembered hashes; none where their file is damaged, for each can be had again."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _processor_seconds() -> float:
    """Of this process and of children that have ended; what others did elsewhere is not in it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _hash_all(paths: tuple[Path, ...], workspace: Workspace) -> dict[str, str]:
    return {_label(path, workspace): hash_path(path, workspace) for path in paths}


def _label(path: Path, workspace: Workspace) -> str:
    """A path as the manifest names it: relative, where it lies in the workspace."""
    inside = path.is_relative_to(workspace.root)
    return str(path.relative_to(workspace.root) if inside else path)


def _hash_known(path: Path, known: dict[str, list[Any]]) -> str:
    # Bytes of a name that are not UTF-8 cannot be written as such.
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    try:
        stat = path.stat()
        signature = [stat.st_size, stat.st_mtime_ns]
        entry = known.get(name)
        if isinstance(entry, list) and len(entry) == 3 and entry[:2] == signature:
            return str(entry[2])
        value = hash_file(path)
    except OSError as err:
        return f"cannot be read ({err.strerror})"  # the step that needs it says so
    known[name] = [*signature, value]
    return value


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
