"""DOCX, PPTX and XLSX to Markdown through Docling, pictures saved and marked where they stand."""

from __future__ import annotations

import re
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from clara_model.errors import DataError
from tasks.extraction.document import Extracted
from tasks.extraction.images import Picture, PictureStore
from tasks.extraction.markup import isolate_marks, tidy_tables

_LINK = re.compile(r"!\[[^\]]*\]\((extracted_assets/[^)]+)\)")


@cache
def _converter() -> Any:
    from docling.datamodel.base_models import InputFormat
    from docling.document_converter import DocumentConverter

    return DocumentConverter(allowed_formats=[InputFormat.DOCX, InputFormat.PPTX, InputFormat.XLSX])


def read_office(path: Path, store: PictureStore) -> Extracted:
    """Text, tables, notes and pictures of an Office file; slides and sheets count as pages.

    Raises:
        DataError: If Docling cannot read it; the message is the reason to report.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = _converter().convert(path, raises_on_error=False)
    if result.status.value not in ("success", "partial_success"):
        reasons = "; ".join(e.error_message.splitlines()[0] for e in result.errors)
        raise DataError(f"damaged {path.suffix[1:].upper()}: {reasons or result.status.value}")
    document = result.document
    problems = [str(w.message) for w in caught if "icture" in str(w.message)]
    problems += [str(w.message) for w in caught if "external" in str(w.message)]
    _save_pictures(document, store)
    suffix = path.suffix.lower()
    if suffix == ".docx" or not document.pages:
        content = _export(document)
        return Extracted(content=content, problems=problems)
    sheets = [g.name for g in document.groups if g.label.value == "sheet"]
    content = ""
    starts: list[tuple[int, int]] = []
    for index, number in enumerate(sorted(document.pages)):
        text = _export(document, page_no=number)
        if suffix == ".xlsx" and text and index < len(sheets):
            text = f"## {sheets[index]}\n\n{text}"
        if content and text:
            content += "\n\n"
        starts.append((number, len(content)))
        content += text
    kept = starts if suffix == ".pptx" else []
    return Extracted(content, page_starts=kept, num_pages=len(starts), problems=problems)


def _save_pictures(document: Any, store: PictureStore) -> None:
    """Save each picture and let the document refer to the file instead of holding its bytes."""
    for number, item in enumerate(document.pictures, start=1):
        place = f"picture {number}"
        if item.prov:
            place += f" on slide {item.prov[0].page_no}"
        image = item.get_image(document)
        if image is None:
            if not _is_chart(item):
                why = "missing, broken, or vector graphics (EMF, WMF) that cannot be read"
                store.add(Picture(reason=why), place)
            item.image = None
            continue
        buffer = BytesIO()
        image.save(buffer, "PNG")
        mark = store.add(Picture(buffer.getvalue(), image.width, image.height), place)
        if mark:
            item.image.uri = PurePosixPath(mark.removeprefix("[IMAGE_REF: ").removesuffix("]"))
        else:
            item.image = None


def _is_chart(item: Any) -> bool:
    return getattr(item.meta, "tabular_chart", None) is not None


def _export(document: Any, page_no: int | None = None) -> str:
    from docling_core.types.doc import ContentLayer
    from docling_core.types.doc.base import ImageRefMode

    text = document.export_to_markdown(
        image_mode=ImageRefMode.REFERENCED,
        image_placeholder="",
        escape_html=False,
        escape_underscores=False,
        compact_tables=True,
        page_no=page_no,
        included_content_layers={ContentLayer.BODY, ContentLayer.NOTES},
    )
    return isolate_marks(tidy_tables(_LINK.sub(r"[IMAGE_REF: \1]", text)))
