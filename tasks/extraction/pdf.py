"""PDF to Markdown: Docling's native text layer, OCR where there is none, pictures by pypdfium2."""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from configs.schema import ExtractionSettings
from tasks.extraction.boxes import Box, join_row, join_words, split_rows
from tasks.extraction.compose import compose
from tasks.extraction.document import Extracted
from tasks.extraction.furniture import Page
from tasks.extraction.images import MAX_PIXELS, PictureStore
from tasks.extraction.ocr import read_boxes
from tasks.extraction.pdf_objects import Rect, find_grids, join_pictures, read_pictures, read_rules
from tasks.extraction.tables import grid_to_table

log = logging.getLogger(__name__)

_MONO = re.compile(r"mono|courier|consol|typewriter|lettergothic|menlo|CMTT|SFTT", re.IGNORECASE)
_BOLD = re.compile(r"bold|black|heavy|BX\d|demi|[-,]B$|Bd", re.IGNORECASE)
_BROKEN = re.compile(r"\ufffd|\(cid:\d+\)|GLYPH<|[\ue000-\uf8ff]")
_FEW_LETTERS = 20  # a scanned page may still carry a stamp or a page number as text
_RECURRING = 3  # a picture seen so often in one document is decoration
_LONGEST_LABEL = 40  # characters
_FULL_PAGE = 0.7  # share of the page's area that a scan covers


def read_pdf(path: Path, settings: ExtractionSettings, store: PictureStore) -> Extracted:
    """Text, tables and pictures of a PDF.

    Raises:
        DataError: If nothing of it can be read; the message is the reason to report.
    """
    import pypdfium2 as pdfium

    document = _open(path, settings.max_pages)
    try:
        words, problems = _read_words(path, settings)
        pages: list[Page] = []
        num_ocr = 0
        for index in range(len(document)):
            number = index + 1
            try:
                page = document[index]
            except pdfium.PdfiumError as err:
                problems.setdefault(number, f"cannot be opened ({err})")
                continue
            read, by_ocr = _read_page(page, number, words.get(number, []), settings, store)
            pages.append(read)
            num_ocr += by_ocr
            page.close()
    finally:
        document.close()
    composed = compose([_label_pictures(page) for page in _without_repeated(pages, store)])
    return Extracted(
        content=composed.content,
        page_starts=list(composed.page_starts),
        num_pages=len(pages),
        num_ocr_pages=num_ocr,
        problems=[f"page {number}: {why}" for number, why in sorted(problems.items())],
    )


def _open(path: Path, max_pages: int) -> Any:
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


@cache
def _converter(timeout_s: float) -> Any:
    from docling.datamodel.backend_options import PdfBackendOptions
    from docling.datamodel.base_models import InputFormat
    from docling.datamodel.pipeline_options import NativePdfPipelineOptions
    from docling.document_converter import DocumentConverter, NativePdfFormatOption

    options = NativePdfPipelineOptions(
        generate_page_images=False,
        generate_picture_images=False,
        parser_threads=1,
        document_timeout=timeout_s,
    )
    option = NativePdfFormatOption(
        pipeline_options=options, backend_options=PdfBackendOptions(include_bitmap_images=False)
    )
    return DocumentConverter(
        allowed_formats=[InputFormat.PDF], format_options={InputFormat.PDF: option}
    )


def _read_words(
    path: Path, settings: ExtractionSettings
) -> tuple[dict[int, list[Box]], dict[int, str]]:
    """Words of each page from Docling's parser, and what went wrong on which page."""
    result = _converter(settings.timeout_s).convert(path, raises_on_error=False)
    words = {
        page.page_no: [_word(cell, page.size.height) for cell in page.parsed_page.word_cells]
        for page in result.pages
        if page.parsed_page is not None
    }
    problems = {e.page_no or 0: e.error_message for e in result.errors}
    if problems and not words:
        log.warning("%s: docling read no page: %s", path.name, problems)
    return {n: [w for w in found if w.text.strip()] for n, found in words.items()}, problems


def _word(cell: Any, page_height: float) -> Box:
    place = cell.rect.to_bounding_box().to_top_left_origin(page_height)
    left, right = sorted((place.l, place.r))
    top, bottom = sorted((place.t, place.b))
    size = bottom - top
    angle = round(cell.rect.angle) % 360
    if 45 <= angle % 180 <= 135 and len(cell.text) > 1:
        # Text that runs upwards: keep it out of the rows it passes.
        size = right - left
    return Box(
        text=cell.text,
        left=left,
        top=top if size == bottom - top else bottom - size,
        right=right,
        bottom=bottom,
        bold=bool(_BOLD.search(cell.font_name or "")),
        mono=bool(_MONO.search(cell.font_name or "")),
        size=size,
    )


def _read_page(
    page: Any, number: int, words: list[Box], settings: ExtractionSettings, store: PictureStore
) -> tuple[Page, bool]:
    """Everything on one page, and whether OCR had to read it."""
    width, height = page.get_size()
    pictures = list(read_pictures(page, MAX_PIXELS))
    scan = any(_covers(place, width, height) for place, _ in pictures)
    by_ocr = settings.ocr and _needs_ocr(words, scan) and _has_ink(page)
    if by_ocr:
        scale = settings.ocr_dpi / 72
        boxes = read_boxes(page.render(scale=scale).to_pil(), scale=1 / scale)
        segments = join_words(boxes, touching=False)
    else:
        segments = _lay_out(words, page)
    if sum(len(box.text) for box in segments) >= _FEW_LETTERS:
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
    counts = Counter(b.text for page in pages for b in page.boxes if b.kind == "picture")
    recurring = {text for text, count in counts.items() if count >= _RECURRING}
    for text in recurring:
        store.drop(text)
    return [
        replace(page, boxes=tuple(b for b in page.boxes if b.text not in recurring))
        for page in pages
    ]


def _needs_ocr(words: list[Box], scan: bool) -> bool:
    text = "".join(word.text for word in words)
    if not text:
        return True
    if len(_BROKEN.findall(text)) > 0.1 * len(text):
        return True  # fonts without a map to characters
    return scan and len(text) < _FEW_LETTERS


def _has_ink(page: Any) -> bool:
    low, high = page.render(scale=0.25, grayscale=True).to_pil().getextrema()
    return bool(high - low > 8)


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
            words = [word for word in words if word not in used]
    return [*join_words(words), *tables]
