"""One file to one row: this runs inside a worker process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from configs.schema import ExtractionSettings
from tasks.extraction.document import Extracted
from tasks.extraction.images import PictureStore, check_picture, mark, save_picture
from tasks.extraction.sniff import Kind, sniff
from tasks.storage import Record


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read: where it lies, its name in the rows, the hash of its bytes."""

    path: Path
    file_path: str
    sha256: str


def read_file(job: Job, root: Path, assets: Path, settings: ExtractionSettings) -> Record:
    """Read one file and save its pictures.

    Returns:
        A record with `row` (None if the file is rejected), `reasons` (why the file, a page or a
        picture was set aside) and `stats` (pages, ocr_pages).
    """
    try:
        kind = sniff(job.path, max_file_mb=settings.max_file_mb, max_pages=settings.max_pages)
        if kind == "image":
            return _read_image(job, assets)
        store = PictureStore(assets, job.path.stem, settings.min_image_side)
        extracted = _read_document(job, kind, root, store, settings)
    except DataError as err:
        return {"row": None, "reasons": [str(err)], "stats": {}}
    reasons = [*extracted.problems, *store.all_reasons()]
    if not extracted.content.strip():
        why = "no text and no pictures found"
        return {"row": None, "reasons": ["; ".join([why, *reasons])], "stats": {}}
    row = _row(job, extracted.content, "document", store.names)
    row["page_starts"] = [list(start) for start in extracted.page_starts]
    stats = {"pages": extracted.num_pages, "ocr_pages": extracted.num_ocr_pages}
    return {"row": row, "reasons": reasons, "stats": stats}


def _read_document(
    job: Job, kind: Kind, root: Path, store: PictureStore, settings: ExtractionSettings
) -> Extracted:
    from tasks.extraction import markup

    if kind == "pdf":
        from tasks.extraction.pdf import read_pdf

        return read_pdf(job.path, settings, store)
    if kind in ("docx", "pptx", "xlsx"):
        from tasks.extraction.office import read_office

        return read_office(job.path, store)
    if kind == "text":
        return markup.read_text(job.path)
    pictures = markup.LinkedPictures(job.path, root, store)
    reader = markup.read_html if kind == "html" else markup.read_markdown
    return reader(job.path, pictures)


def _read_image(job: Job, assets: Path) -> Record:
    data = job.path.read_bytes()
    picture = check_picture(data)
    if picture.reason:
        return {"row": None, "reasons": [picture.reason], "stats": {}}
    name = save_picture(assets, job.path.stem, data)
    return {"row": _row(job, mark(name), "image", [name]), "reasons": [], "stats": {}}


def _row(job: Job, content: str, source_type: str, names: list[str]) -> dict[str, Any]:
    return {
        "file_path": job.file_path,
        "filename": job.path.name,
        "content": content,
        "source_type": source_type,
        "extracted_images": list(names),
        "sha256": job.sha256,
        "page_starts": [],
    }
