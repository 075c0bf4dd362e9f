"""Docling's documents to Markdown, page by page, with pictures saved and places known."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from tasks.extraction.document import Place, Rect
from tasks.extraction.images import Picture, PictureStore, find_recurring
from tasks.extraction.markup import isolate_marks, tidy_tables

_LINK = re.compile(r"!\[[^\]]*\]\((extracted_assets/[^)]+)\)")


def save_pictures(
    document: Any, store: PictureStore, skip: Collection[int] = (), why: str = "missing or broken"
) -> None:
    """Save each picture and let the document refer to the file instead of holding its bytes.

    Args:
        document: A DoclingDocument.
        store: Where pictures go.
        skip: Pages whose pictures are not wanted.
        why: The reason to report where Docling has no pixels.
    """
    marked: list[tuple[Any, str]] = []
    for number, item in enumerate(document.pictures, start=1):
        page = item.prov[0].page_no if item.prov else None
        place = f"picture {number}" + (f" on page {page}" if page else "")
        image = None if page in skip else item.get_image(document)
        if image is None:
            if page not in skip and not _is_chart(item):
                store.add(Picture(reason=why), place)
            item.image = None
            continue
        buffer = BytesIO()
        image.save(buffer, "PNG")
        marked.append((item, store.add(Picture(buffer.getvalue(), *image.size), place)))
    recurring = find_recurring(mark for _, mark in marked)
    for mark in recurring:
        store.drop(mark)
    for item, mark in marked:
        if mark and mark not in recurring:
            item.image.uri = PurePosixPath(mark.removeprefix("[IMAGE_REF: ").removesuffix("]"))
        else:
            item.image = None


def _is_chart(item: Any) -> bool:
    return getattr(item.meta, "tabular_chart", None) is not None


def export(document: Any, page_no: int | None = None) -> str:
    """Markdown of a document, or of one of its pages or slides, notes included."""
    from docling_core.types.doc.base import ImageRefMode

    text = document.export_to_markdown(
        image_mode=ImageRefMode.REFERENCED,
        image_placeholder="",
        escape_html=False,
        escape_underscores=False,
        compact_tables=True,
        page_no=page_no,
        included_content_layers=_layers(),
    )
    return isolate_marks(tidy_tables(_LINK.sub(r"[IMAGE_REF: \1]", text)))


def _layers() -> Any:
    from docling_core.types.doc import ContentLayer

    return {ContentLayer.BODY, ContentLayer.NOTES}


def find_places(document: Any, page_no: int, text: str, points: float = 1.0) -> Iterator[Place]:
    """Where the items of one page begin in its Markdown, and their boxes.

    Args:
        document: A DoclingDocument whose pictures were saved.
        page_no: The page.
        text: Its Markdown.
        points: Docling's units that make a point.
    """
    height = document.pages[page_no].size.height
    cursor, last = 0, -1
    for item, _ in document.iterate_items(page_no=page_no, included_content_layers=_layers()):
        sought = _first_text(item)
        if not sought:
            continue
        at = text.find(sought, cursor)
        # An item that Markdown writes otherwise: from here on, until the next one, nobody knows.
        start = text.rfind("\n", 0, at) + 1 if at >= 0 else cursor
        if start > last:
            yield Place(start, page_no, _box(item, page_no, height, points) if at >= 0 else None)
            last = start
        cursor = max(cursor, at + len(sought))


def _first_text(item: Any) -> str:
    """The text by which an item is found in the Markdown of its page."""
    if (image := getattr(item, "image", None)) is not None:
        return f"[IMAGE_REF: {image.uri}]"
    if (data := getattr(item, "data", None)) is not None:
        cells = (" ".join(cell.text.split()) for cell in data.table_cells)
        return next((cell for cell in cells if cell), "")
    return str(getattr(item, "text", "")).strip().split("\n")[0]


def _box(item: Any, page_no: int, height: float, points: float) -> Rect | None:
    for prov in item.prov:
        if prov.page_no == page_no:
            box = prov.bbox.to_top_left_origin(height)
            if box.r > box.l and box.b > box.t:  # notes have an empty one
                return (box.l / points, box.t / points, box.r / points, box.b / points)
    return None
