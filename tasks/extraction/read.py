"""One file to one row: this runs inside a worker process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clara_model.errors import DataError
from configs.schema import ExtractionSettings
from tasks.extraction.document import Extracted
from tasks.extraction.images import PictureStore, first_line, mark
from tasks.extraction.provenance import describe_images
from tasks.extraction.sniff import Kind, sniff
from tasks.storage import Record

# Ends of lines of other systems, and signs that steer a terminal.
_CONTROLS = {sign: " " for sign in (*range(32), *range(127, 160)) if chr(sign) not in "\t\n"}
_CONTROLS |= dict.fromkeys(map(ord, "\x0b\x0c\x85\u2028\u2029"), "\n")


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read: where it lies, its name in the rows, hash and number of its bytes.

    `problem` tells why it cannot even be opened.
    """

    path: Path
    file_path: str
    sha256: str
    size: int = 0
    problem: str = ""


def read_file(job: Job, root: Path, assets: Path, settings: ExtractionSettings) -> Record:
    """Read one file and save its pictures.

    Returns:
        A record with `row` (None if the file is rejected), `reasons` (why the file, a page or a
        picture was set aside) and `stats` (pages, ocr_pages).
    """
    try:
        kind = sniff(job.path, max_file_mb=settings.max_file_mb, max_pages=settings.max_pages)
        is_picture = kind == "image"
        # A picture that is a file of its own is no decoration, however small.
        store = PictureStore(assets, job.path.stem, 1 if is_picture else settings.min_image_side)
        extracted = _read(job, kind, root, store, settings)
    except (DataError, OSError) as err:
        return rejected(first_line(err))
    _forget_lost_pictures(extracted, store)
    reasons = [*extracted.problems, *store.all_reasons()]
    if not extracted.content.strip():
        return rejected("; ".join(["no text and no pictures found", *reasons]))
    source_type = "image" if is_picture else "document"
    stats = {"pages": extracted.num_pages, "ocr_pages": extracted.num_ocr_pages}
    return {"row": _row(job, extracted, source_type, store), "reasons": reasons, "stats": stats}


def rejected(reason: str, **more: Any) -> Record:
    """The record of a file that is set aside."""
    return {"row": None, "reasons": [reason], "stats": {}, **more}


def _read(
    job: Job, kind: Kind, root: Path, store: PictureStore, settings: ExtractionSettings
) -> Extracted:
    if kind == "image":
        from tasks.extraction.picture_files import read_picture_file

        return read_picture_file(job.path, settings, store)
    if kind in ("pdf", "docx", "pptx", "xlsx"):
        with plain_name(job.path, kind) as path:
            return _read_paged(path, kind, store, settings)
    from tasks.extraction import markup

    if kind == "text":
        return markup.read_text(job.path)
    pictures = markup.LinkedPictures(job.path, root, store)
    reader = markup.read_html if kind == "html" else markup.read_markdown
    return reader(job.path, pictures)


def _read_paged(
    path: Path, kind: Kind, store: PictureStore, settings: ExtractionSettings
) -> Extracted:
    if kind != "pdf":
        from tasks.extraction.office import read_office

        return read_office(path, kind, store)
    if settings.mode == "layout":
        from tasks.extraction.layout import read_layout

        return read_layout(path, settings, store)
    from tasks.extraction.pdf import read_pdf

    return read_pdf(path, settings, store)


@contextmanager
def plain_name(path: Path, kind: str) -> Iterator[Path]:
    """The file under a name that the libraries take: in UTF-8, and ending in its kind."""
    try:
        str(path).encode()
        is_plain = path.suffix.lower() == f".{kind}"
    except UnicodeEncodeError:
        is_plain = False
    if is_plain:
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / f"document.{kind}"
        link.symlink_to(path.absolute())
        yield link


def _forget_lost_pictures(extracted: Extracted, store: PictureStore) -> None:
    """Drop pictures that the text does not mention: they went with a page's furniture."""
    for text in map(mark, list(store.names)):
        if text not in extracted.content:
            store.drop(text)


def _printable(text: str) -> str:
    """A text that can be written and shown; as long as before, for places count its signs."""
    # Lone surrogates of broken fonts cannot be written as UTF-8.
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode("utf-8")


def _row(job: Job, extracted: Extracted, source_type: str, store: PictureStore) -> dict[str, Any]:
    return {
        "file_path": job.file_path,
        "filename": job.file_path.rpartition("/")[2],
        "content": _printable(extracted.content),
        "source_type": source_type,
        "extracted_images": list(store.names),
        "sha256": job.sha256,
        "page_starts": [list(start) for start in extracted.page_starts],
        "places": [place.to_row() for place in extracted.places],
        "images": describe_images(extracted, store.names),
    }
