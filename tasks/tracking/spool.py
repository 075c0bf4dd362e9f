"""The spool: what MLflow is to be told, on disk before anything is sent.

One JSONL file a process, of which only whole lines count, and beside it how far it has been sent.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.storage import write_json
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

Record = dict[str, Any]

_LOCK = ".lock"
_REFUSED = "refused.json"


def spool_folder(workspace: Workspace) -> Path:
    """Where a workspace's spool lies."""
    return workspace.root / "tracking"


class SpoolFile:
    """A process's own file: one line a record, written at once. Its lock says that it lives."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:6]}.jsonl"
        self.path = folder / name
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._handle = os.open(self.path, flags, 0o644)
        self._is_torn = False
        with contextlib.suppress(OSError):  # a mounted drive may know no locks
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, record: Record) -> None:
        """Add a record as one line, in one write."""
        line = (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode()
        if self._is_torn:  # the disk was full: what was begun is not to spoil this line
            line = b"\n" + line
        written = os.write(self._handle, line)
        self._is_torn = written < len(line)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        """Let go of it; who sends its last line then removes it."""
        os.close(self._handle)


def spool_files(folder: Path) -> list[Path]:
    """All files of a spool, the oldest first."""
    return sorted(folder.glob("[0-9]*.jsonl"))


def read_from(path: Path, offset: int) -> list[tuple[int, Record]]:
    """Whole records from a place on, each with the place after it; damaged lines are left out."""
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read()
    records = []
    for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
        offset += len(line)
        try:
            records.append((offset, json.loads(line)))
        except (json.JSONDecodeError, UnicodeDecodeError):
            log.warning("%s: a damaged line before byte %d is left out", path, offset)
    return records


def read_marker(path: Path) -> int:
    """How many bytes of a file have been sent."""
    try:
        return int(_marker(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


def write_marker(path: Path, offset: int) -> None:
    """Note that all before a place has been sent."""
    # Small and replaced whole, but not synced: at worst records are sent once more, which the
    # sender recognises.
    temporary = _marker(path).with_suffix(".tmp")
    temporary.write_text(str(offset), encoding="utf-8")
    os.replace(temporary, _marker(path))


def remove_if_done(path: Path) -> None:
    """Remove a file all of which has been sent, unless its process still lives."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        if not read_from(path, read_marker(path)):
            _marker(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


@contextmanager
def sole_sender(folder: Path) -> Iterator[None]:
    """Wait until no other process sends from this spool, and keep the others out."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as stream:
        with contextlib.suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def count_waiting(workspace: Workspace) -> int:
    """Records that have not been sent yet."""
    files = spool_files(spool_folder(workspace))
    return sum(len(read_from(path, read_marker(path))) for path in files)


def count_refused(workspace: Workspace) -> dict[str, int]:
    """How often MLflow has refused what, by name."""
    path = spool_folder(workspace) / _REFUSED
    try:
        return {str(name): int(n) for name, n in json.loads(path.read_text("utf-8")).items()}
    except (FileNotFoundError, ValueError):
        return {}


def add_refused(folder: Path, name: str) -> int:
    """Count one more refusal of a name; returns how many there are of it now."""
    path = folder / _REFUSED
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        counts = {}
    counts[name] = counts.get(name, 0) + 1
    write_json(path, counts)
    return int(counts[name])


def _marker(path: Path) -> Path:
    return path.with_suffix(".sent")
