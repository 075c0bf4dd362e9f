"""Benchmark files: JSONL, JSON, either gzipped; what is not JSON is set aside line by line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from clara_model.evaluation.benchmarks.sample import SetAside

# Where whole files keep their records.
_LISTS = ("data", "rows", "examples", "questions")


def read_content(path: Path) -> tuple[Any, list[SetAside]]:
    """Everything in a file: a list of JSON values, or the one JSON value that it is.

    Args:
        path: A file of one JSON value a line, or of one JSON value.

    Returns:
        The content (a list of (place, value) for JSONL), and lines that are not JSON.

    Raises:
        DataError: If the file cannot be read, or nothing in it is JSON.
    """
    data = _bytes(path)
    lines = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty")
    if lines[0][1].strip() in (b"[", b"{") or len(lines) == 1:
        return _whole(path, data), []
    values, bad = [], []
    for number, line in lines:
        try:
            values.append((f"line {number}", json.loads(line)))
        except ValueError as err:
            bad.append(SetAside(f"line {number}", f"not JSON ({err})"))
    if not values:
        return _whole(path, data), []
    if len(values) == 1 and bad:
        # One line of many that happens to be JSON: an indented file, most likely.
        try:
            return json.loads(data), []
        except ValueError:
            pass
    return values, bad


def records_of(content: Any) -> Iterator[tuple[str, Any]]:
    """(place, record) for every record of a file's content."""
    if isinstance(content, list):
        for number, item in enumerate(content, start=1):
            is_line = isinstance(item, tuple)
            yield item if is_line else (f"record {number}", item)
    elif isinstance(content, dict):
        inner = next((content[k] for k in _LISTS if isinstance(content.get(k), list)), None)
        if inner is not None:
            yield from records_of(inner)
        elif content and all(isinstance(value, dict) for value in content.values()):
            for key, value in content.items():
                yield f"record {key!r}", {"id": key, **value}
        else:
            yield "record 1", content
    else:
        yield "record 1", content


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as err:
        raise DataError(f"{path}: cannot be read ({err})") from err
    return data.removeprefix(b"\xef\xbb\xbf")


def _whole(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise DataError(f"{path}: neither JSON nor JSONL ({err})") from err
