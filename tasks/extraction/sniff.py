"""What a file is, by its first bytes and its name, and what can be refused without opening it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from clara_model.errors import DataError

Kind = Literal["pdf", "docx", "pptx", "xlsx", "html", "markdown", "text", "image"]

_BY_SUFFIX: dict[str, Kind] = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".text": "text",
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
    ".tif": "image",
    ".tiff": "image",
    ".webp": "image",
}
_OFFICE_FOLDERS: dict[str, Kind] = {"word/": "docx", "ppt/": "pptx", "xl/": "xlsx"}
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_MAX_UNPACKED = 20  # times extraction.max_file_mb


def sniff(path: Path, *, max_file_mb: int, max_pages: int) -> Kind:
    """The kind of a file, if name and content agree.

    Raises:
        DataError: If the file is refused; the message is the reason to report.
    """
    size = path.stat().st_size
    if size == 0:
        raise DataError("empty file")
    if size > max_file_mb * 1_000_000:
        raise DataError(f"{size / 1e6:.0f} MB are more than extraction.max_file_mb {max_file_mb}")
    named = _BY_SUFFIX.get(path.suffix.lower())
    if named is None and path.suffix:
        raise DataError(f"files of type '{path.suffix}' are not read")
    with path.open("rb") as stream:
        head = stream.read(4096)
    found = _by_content(path, head, named, max_file_mb * _MAX_UNPACKED, max_pages)
    if named is not None and found != named and not (found == "text" and named in _TEXTS):
        shown = {"image": "a picture", "text": "plain text"}.get(found, found.upper())
        raise DataError(f"mislabelled: named '{path.suffix}' but holds {shown}")
    return named or found


_TEXTS = ("html", "markdown", "text")


def _by_content(
    path: Path, head: bytes, named: Kind | None, max_unpacked_mb: int, max_pages: int
) -> Kind:
    # Text may speak of the marks of other formats; a PDF may begin with something else.
    if head.lstrip().startswith(b"%PDF-") or (b"%PDF-" in head[:1024] and named not in _TEXTS):
        return "pdf"
    if head.startswith(_IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _office_kind(path, max_unpacked_mb, max_pages)
    if head.startswith(_OLE):
        if _ENCRYPTED in path.read_bytes():
            raise DataError("encrypted: the Office file needs a password")
        raise DataError("old binary Office format: save it as DOCX, PPTX or XLSX")
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind = "picture" if named == "image" else f"{str(named).upper()} file"
        what = f"not a {kind}: " if named not in (None, *_TEXTS) else ""
        raise DataError(f"{what}unknown binary content")
    start = head.lstrip(b"\xef\xbb\xbf").lstrip()[:100].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html" if named not in ("text", "markdown") else named
    return "text"


def _office_kind(path: Path, max_unpacked_mb: int, max_pages: int) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError) as err:
        raise DataError("truncated or damaged: not a complete Office file") from err
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max_unpacked_mb * 1_000_000:
        raise DataError(f"unpacks to {unpacked / 1e6:,.0f} MB, more than {max_unpacked_mb:,}")
    names = {entry.filename for entry in entries}
    slides = sum(name.startswith("ppt/slides/slide") for name in names)
    if slides > max_pages:
        raise DataError(f"{slides} slides are more than extraction.max_pages {max_pages}")
    for folder, kind in _OFFICE_FOLDERS.items():
        if any(name.startswith(folder) for name in names):
            return kind
    raise DataError("a zip archive, not a document")
