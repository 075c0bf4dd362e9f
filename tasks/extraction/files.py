"""What the input holds: files under names that can be written, and what cannot be opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from clara_model.errors import ConfigError, DataError
from tasks.extraction.read import Job
from tasks.storage import hash_file


def list_files(source: Path) -> list[Job]:
    """All files below a folder (or one file), sorted by path, hidden ones left out.

    What is there but cannot be opened (a folder without permission, a link to a folder, a pipe) is
    a job with a problem, so that nothing is left out in silence.

    Raises:
        ConfigError: If the path does not exist.
        DataError: If there is no file.
    """
    if source.is_file():
        return [_job(source, _readable(source.name))]
    if not source.is_dir():
        raise ConfigError(
            f"extraction.input: {source} does not exist; name a file or a folder, "
            "for example with --set extraction.input=PATH"
        )
    jobs: dict[str, Job] = {}
    for path, problem in sorted(_walk(source), key=lambda found: os.fsencode(found[0])):
        name = path.relative_to(source).as_posix()
        if _readable(name) in jobs:  # names that differ only in bytes that are not UTF-8
            name = os.fsencode(name).decode("utf-8", "backslashreplace")
        jobs[_readable(name)] = _job(path, _readable(name), problem)
    if not jobs:
        raise DataError(f"extraction.input: {source} holds no files")
    return [jobs[name] for name in sorted(jobs)]


def _walk(source: Path) -> Iterator[tuple[Path, str]]:
    """What is no open folder, hidden ones left out, and why it cannot be opened, if that is so."""
    closed: list[OSError] = []
    for folder, folders, files in os.walk(source, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if (path := Path(folder, name)).is_symlink():
                yield path, "a link to a folder: not followed"
        yield from ((Path(folder, name), "") for name in files if not name.startswith("."))
    for err in closed:
        yield Path(err.filename), f"folder cannot be opened ({err.strerror})"


def _job(path: Path, name: str, problem: str = "") -> Job:
    if problem:
        return Job(path, name, "", problem=problem)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait for ever
            return Job(path, name, "", problem="neither a file nor a folder")
        return Job(path, name, hash_file(path), found.st_size)
    except OSError as err:
        return Job(path, name, "", problem=f"cannot be opened ({err.strerror})")


def _readable(name: str) -> str:
    """A name as text: that of a file from an old system may hold bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")
