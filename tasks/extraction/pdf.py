"""PDF to Markdown: Docling's native text layer, OCR where there is none, pictures by pypdfium2."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from configs.schema import ExtractionSettings
from tasks.extraction.boxes import Box, join_row, join_words, split_rows
from tasks.extraction.compose import compose
from tasks.extraction.document import Extracted, Rect
from tasks.extraction.furniture import Page
from tasks.extraction.images import MAX_PIXELS, PictureStore, find_recurring, first_line
from tasks.extraction.ocr import read_boxes
from tasks.extraction.pdf_objects import (
    draw,
    find_grids,
    find_pictures,
    join_pictures,
    read_pictures,
    read_rules,
)
from tasks.extraction.pdf_words import FEW_LETTERS, TextLayer, is_unusable
from tasks.extraction.tables import grid_to_table

log = logging.getLogger(__name__)

_LONGEST_LABEL = 40  # characters
_FULL_PAGE = 0.7  # share of the page's area that a scan covers


def read_pdf(path: Path, settings: ExtractionSettings, store: PictureStore) -> Extracted:
    """Text, tables and pictures of a PDF.

    Raises:
        DataError: If nothing of it can be read; the message is the reason to report.
    """
    import pypdfium2 as pdfium

    document = open_pdf(path, settings.max_pages)
    problems: list[str] = []
    pages: list[Page] = []
    num_ocr = 0
    try:
        layer = _open_layer(path, problems)
        for number in range(1, len(document) + 1):
            words = _read_words(layer, number, problems)
            try:
                page = document[number - 1]
                read, by_ocr = read_page(page, number, words, settings, store)
                page.close()
            except pdfium.PdfiumError as err:
                problems.append(f"page {number}: cannot be read ({err})")
                continue
            pages.append(read)
            num_ocr += by_ocr
    finally:
        document.close()
    composed = compose([_label_pictures(page) for page in _without_repeated(pages, store)])
    return Extracted(
        content=composed.content,
        page_starts=list(composed.page_starts),
        places=list(composed.places),
        num_pages=len(pages),
        num_ocr_pages=num_ocr,
        problems=problems,
    )


def _open_layer(path: Path, problems: list[str]) -> TextLayer | None:
    try:
        return TextLayer(path)
    except (RuntimeError, ValueError) as err:
        log.info("%s: %s", path.name, first_line(err))
        problems.append("damaged: its text layer cannot be read")
        return None


def _read_words(layer: TextLayer | None, number: int, problems: list[str]) -> list[Box]:
    if layer is None:
        return []
    try:
        return layer.read_page(number)
    except (RuntimeError, ValueError) as err:
        problems.append(f"page {number}: its text layer cannot be read ({first_line(err)})")
        return []


def open_pdf(path: Path, max_pages: int) -> Any:
    """Open a PDF with pypdfium2, which tells the ways of being broken apart."""
    import pypdfium2 as pdfium
    import pypdfium2.raw as raw

    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as err:
        if err.err_code == raw.FPDF_ERR_PASSWORD:
            raise DataError("encrypted: the PDF needs a password") from err
        if err.err_code == raw.FPDF_ERR_SECURITY:
            raise DataError("encrypted in a way that cannot be opened") from err
        if err.err_code == raw.FPDF_ERR_SUCCESS:  # nothing is wrong with it, but nothing is there
            raise DataError("damaged PDF: it has no pages") from err
        if b"%%EOF" not in path.read_bytes()[-2048:]:
            raise DataError("truncated: the PDF ends before its index (%%EOF)") from err
        raise DataError(f"damaged PDF: {err}") from err
    if len(document) > max_pages:
        count = len(document)
        document.close()
        raise DataError(f"{count} pages are more than extraction.max_pages {max_pages}")
    if len(document) == 0:
        document.close()
        raise DataError("damaged PDF: it has no pages")
    return document


def read_page(
    page: Any, number: int, words: list[Box], settings: ExtractionSettings, store: PictureStore
) -> tuple[Page, bool]:
    """Everything on one page, and whether OCR had to read it."""
    width, height = page.get_size()
    pictures = list(read_pictures(page, MAX_PIXELS))
    by_ocr = settings.ocr and needs_ocr(page, words)
    if by_ocr:
        image, scale = draw(page, settings.ocr_dpi / 72)
        boxes = read_boxes(image, scale=1 / scale)
        segments = join_words(boxes, touching=False)
    else:
        segments = _lay_out(words, page)
    if sum(len(box.text) for box in segments) >= FEW_LETTERS:
        # The scan itself, or a background behind the text.
        pictures = [(p, pic) for p, pic in pictures if not _covers(p, width, height)]
    running = [(b.left, b.top, b.right, b.bottom) for b in segments if len(b.text) > _LONGEST_LABEL]
    for i, (place, picture) in enumerate(join_pictures(page, pictures, running), start=1):
        if text := store.add(picture, f"picture {i} on page {number}"):
            segments.append(Box(text, *place, kind="picture"))
    return Page(number, width, height, tuple(segments)), by_ocr


def _label_pictures(page: Page) -> Page:
    """The page with short texts inside each picture as one paragraph below it."""
    boxes = list(page.boxes)
    for picture in [b for b in boxes if b.kind == "picture"]:
        inside = [b for b in boxes if b.kind == "text" and _is_inside(b, picture)]
        if not inside or any(len(b.text) > _LONGEST_LABEL for b in inside):
            continue  # a background of running text
        labels = "; ".join(join_row(row).text for row in split_rows(inside))
        boxes = [b for b in boxes if b not in inside and b is not picture]
        boxes.append(replace(picture, text=f"{picture.text}\n\n{labels}"))
    return replace(page, boxes=tuple(boxes))


def _is_inside(box: Box, area: Box) -> bool:
    across = area.left <= box.left and box.right <= area.right
    return across and area.top <= box.middle <= area.bottom


def _without_repeated(pages: list[Page], store: PictureStore) -> list[Page]:
    """Pages without pictures that recur on and on: badges of headings, logos, bullets."""
    recurring = find_recurring(b.text for p in pages for b in p.boxes if b.kind == "picture")
    for text in recurring:
        store.drop(text)
    return [
        replace(page, boxes=tuple(b for b in page.boxes if b.text not in recurring))
        for page in pages
    ]


def needs_ocr(page: Any, words: list[Box]) -> bool:
    """Whether a page shows text that its text layer does not hold."""
    size = page.get_size()
    scan = any(_covers(place, *size) for _, place in find_pictures(page))
    return is_unusable(words, scan) and _has_ink(page)


def _has_ink(page: Any) -> bool:
    levels = draw(page, 0.25)[0].convert("L").histogram()
    present = [level for level, count in enumerate(levels) if count]
    return present[-1] - present[0] > 8


def _covers(place: Rect, width: float, height: float) -> bool:
    across = min(place[2], width) - max(place[0], 0.0)
    down = min(place[3], height) - max(place[1], 0.0)
    return across > 0 and down > 0 and across * down >= _FULL_PAGE * width * height


def _lay_out(words: list[Box], page: Any) -> list[Box]:
    """Segments of a page's words; those inside a ruled grid as one table."""
    tables: list[Box] = []
    for xs, ys in find_grids(read_rules(page)):
        if made := grid_to_table(xs, ys, words):
            table, used = made
            tables.append(table)
            taken = set(used)
            words = [word for word in words if word not in taken]
    return [*join_words(words), *tables]
