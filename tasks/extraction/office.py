"""DOCX, PPTX and XLSX to Markdown through Docling, pictures saved and marked where they stand."""

from __future__ import annotations

import warnings
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from clara_model.errors import DataError
from tasks.extraction.docling_export import export, find_places, save_pictures
from tasks.extraction.document import Extracted
from tasks.extraction.images import PictureStore
from tasks.extraction.packages import without_dead_links
from tasks.extraction.sheets import left_out

_EMU = 12_700.0  # a point in the unit of slides


@cache
def _converter() -> Any:
    from docling.datamodel.base_models import InputFormat
    from docling.document_converter import DocumentConverter

    return DocumentConverter(allowed_formats=[InputFormat.DOCX, InputFormat.PPTX, InputFormat.XLSX])


def read_office(path: Path, kind: str, store: PictureStore) -> Extracted:
    """Text, tables, notes and pictures of an Office file; slides and sheets count as pages.

    Raises:
        DataError: If Docling cannot read it; the message is the reason to report.
    """
    with (
        warnings.catch_warnings(record=True) as caught,
        without_dead_links(path) as (whole, num_dead),
    ):
        warnings.simplefilter("always")
        result = _converter().convert(whole, raises_on_error=False)
    if result.status.value not in ("success", "partial_success"):
        reasons = "; ".join(e.error_message.strip().partition("\n")[0] for e in result.errors)
        if not reasons or "could not load document" in reasons:
            reasons = "its contents cannot be read"
        raise DataError(f"damaged {kind.upper()}: {reasons}")
    document = result.document
    problems = [str(w.message) for w in caught if "icture" in str(w.message)]
    problems += [str(w.message) for w in caught if "external" in str(w.message)]
    if num_dead:
        problems.append(f"{num_dead} of its links lead to parts that it lacks: ignored")
    if kind == "xlsx":
        problems += left_out(path)
    save_pictures(document, store, why=_why_unreadable(path))
    if kind == "docx" or not document.pages:
        return Extracted(content=export(document), problems=problems)
    extracted = Extracted(content="", problems=problems)
    sheets = [g.name for g in document.groups if g.label.value == "sheet"]
    for index, number in enumerate(sorted(document.pages)):
        text = export(document, page_no=number)
        if kind == "pptx":
            extracted.append_page(number, text, find_places(document, number, text, _EMU))
            continue
        if text and index < len(sheets):
            text = f"## {sheets[index]}\n\n{text}"
        extracted.append_page(number, text)
    if kind == "xlsx":
        extracted.page_starts.clear()  # readers know sheets by their names
    return extracted


def _why_unreadable(path: Path) -> str:
    """Why Docling may have no pixels of a picture in an Office file: it does not say so itself."""
    with zipfile.ZipFile(path) as archive:
        suffixes = {PurePosixPath(name).suffix.lower() for name in archive.namelist()}
    vectors = [kind for kind in ("EMF", "WMF") if f".{kind.lower()}" in suffixes]
    if not vectors:
        return "missing or broken"
    return f"{' or '.join(vectors)} vector graphics, which cannot be read (or broken)"
