"""Office files that refer to parts which they lack: programs open them, libraries do not."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

_LINK = re.compile(rb"<Relationship\b[^>]*?/>")
_TARGET = re.compile(rb"\bTarget=\"([^\"]*)\"")
_EXTERNAL = re.compile(rb"\bTargetMode=\"External\"")


@contextmanager
def without_dead_links(path: Path) -> Iterator[tuple[Path, int]]:
    """An Office file, or a copy of it without the links to parts that it lacks; their number.

    Word leaves such links behind (`Target="NULL"`) and does not mind them.
    """
    with zipfile.ZipFile(path) as archive:
        names = {name.lower() for name in archive.namelist()}
        dead = {
            name: links
            for name in archive.namelist()
            if name.endswith(".rels") and (links := _dead_links(name, archive.read(name), names))
        }
        if dead:
            with TemporaryDirectory() as folder:
                copy = Path(folder) / f"document{path.suffix.lower()}"
                _write_copy(archive, copy, dead)
                yield copy, sum(map(len, dead.values()))
            return
    yield path, 0


def _dead_links(rels: str, data: bytes, names: set[str]) -> list[bytes]:
    """The links of `folder/_rels/part.xml.rels` that lead to no part of the file."""
    folder = posixpath.dirname(posixpath.dirname(rels))
    dead = []
    for link in _LINK.findall(data):
        target = _TARGET.search(link)
        if target is None or _EXTERNAL.search(link):
            continue
        part = unescape(target[1].decode("utf-8", "replace")).partition("#")[0]
        place = posixpath.normpath(posixpath.join("/", folder, part)).lstrip("/").lower()
        if part and place not in names and unquote(place) not in names:
            dead.append(link)
    return dead


def _write_copy(archive: zipfile.ZipFile, copy: Path, dead: dict[str, list[bytes]]) -> None:
    with zipfile.ZipFile(copy, "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            for link in dead.get(name, ()):
                data = data.replace(link, b"")
            out.writestr(name, data)
