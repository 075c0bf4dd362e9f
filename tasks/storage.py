"""Files that are never half written: atomic writes, hashes, and journals that resume."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

from clara_model.rows import dump_line, read_jsonl

log = logging.getLogger(__name__)

Record = dict[str, Any]

_ENTRY = {"key", "record"}  # of a journal's line


@dataclass(frozen=True)
class Reject:
    """An item set aside: its step, the file name or id, and why."""

    step: str
    item: str
    reason: str


@dataclass(frozen=True)
class StepResult:
    """What a step reports: counts for manifest, MLflow and summary, and what it set aside."""

    counts: dict[str, float]
    rejects: tuple[Reject, ...] = ()


@contextmanager
def atomic_open(path: Path) -> Iterator[IO[str]]:
    """Open a file for writing text; it appears under its name only when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_open(path) as stream:
        stream.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, in any language."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False) + "\n")


def write_jsonl(path: Path, records: Iterable[Record]) -> int:
    """Write a JSONL file atomically; returns the number of rows."""
    count = 0
    with atomic_open(path) as stream:
        for record in records:
            stream.write(dump_line(record))
            count += 1
    return count


def read_records(path: Path) -> list[Record]:
    """All objects of a JSONL file."""
    return [record for _, record in read_jsonl(path)]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON value, independent of key order."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    # Names of files may hold bytes that are not UTF-8, as lone surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Journal:
    """Finished items of a step that is still running, by key, on disk after every item.

    A journal belongs to one fingerprint (inputs and settings of its step): opened with another
    one, it starts empty. A last line torn by a kill is dropped. Use it as a context manager.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.records: dict[str, Record] = {}

    def __enter__(self) -> Journal:
        self._load()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_open(self.path) as stream:
            stream.write(dump_line({"fingerprint": self.fingerprint}))
            for key, record in self.records.items():
                stream.write(dump_line({"key": key, "record": record}))
        self._stream = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __contains__(self, key: str) -> bool:
        return key in self.records

    def add(self, key: str, record: Record) -> None:
        """Record one finished item; it survives a kill from here on."""
        self.records[key] = record
        self._stream.write(dump_line({"key": key, "record": record}))
        self._stream.flush()

    def discard(self) -> None:
        """Remove the file, after the step's results are written under their names."""
        self.path.unlink(missing_ok=True)

    def _load(self) -> None:
        if not self.path.is_file():
            return
        # Not splitlines(): texts may hold other signs that it takes for the end of a line.
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except json.JSONDecodeError:
                break  # torn by a kill: nothing after it can be trusted
        entries = list(takewhile(lambda entry: isinstance(entry, dict), entries))
        if entries and entries[0].get("fingerprint") == self.fingerprint:
            self.records = {e["key"]: e["record"] for e in entries[1:] if e.keys() >= _ENTRY}


def replace_rejects(path: Path, step: str, rejects: Iterable[Reject]) -> None:
    """Put one step's rejects into the workspace's list, in place of that step's former ones."""
    others = _read_whole_lines(path)
    own = [{"step": step, "item": r.item, "reason": r.reason} for r in rejects]
    write_jsonl(path, [r for r in others if r.get("step") != step] + own)


def _read_whole_lines(path: Path) -> list[Record]:
    """The objects of a JSONL file that need not be complete; damaged lines are left out."""
    if not path.is_file():
        return []
    records, damaged = [], 0
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                record = None
            if isinstance(record, dict):
                records.append(record)
            else:
                damaged += 1
    if damaged:
        log.warning(
            "%s: %d damaged lines are left out; a step's `--force` lists again what it set aside",
            path, damaged,
        )  # fmt: skip
    return records
