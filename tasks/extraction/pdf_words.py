"""The text layer of a PDF: words and their places, through Docling's parser."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

from tasks.extraction.boxes import Box

_MONO = re.compile(r"mono|courier|consol|typewriter|lettergothic|menlo|CMTT|SFTT", re.IGNORECASE)
_BOLD = re.compile(r"bold|black|heavy|BX\d|demi|[-,]B$|Bd", re.IGNORECASE)
_BROKEN = re.compile(r"\ufffd|\(cid:\d+\)|GLYPH<|[\ue000-\uf8ff]")
FEW_LETTERS = 20  # a scanned page may still carry a stamp or a page number as text


class TextLayer:
    """Reads one page after the other and forgets each: a long document stays small in memory.

    Raises:
        RuntimeError, ValueError: If the parser cannot load the document.
    """

    def __init__(self, path: Path) -> None:
        from docling_parse.pdf_parser import ContentConfig, ContentLevel, DoclingPdfParser

        skip = ContentLevel.SKIP
        words = ContentConfig(
            char_cells_content_level=ContentLevel.COMPUTE,
            line_cells_content_level=skip,
            shapes_content_level=skip,
            bitmaps_content_level=skip,
            include_bitmap_bytes=False,
        )
        # Bytes: the parser takes no file names that are not UTF-8.
        stream = BytesIO(path.read_bytes())
        self._document = DoclingPdfParser(loglevel="fatal").load(stream, content_config=words)

    def read_page(self, number: int) -> list[Box]:
        """Words of a page, in no particular order.

        Raises:
            RuntimeError, ValueError: If the parser cannot read the page.
        """
        page = self._document.get_page(number)
        self._document.unload_pages((number, number + 1))
        return words_of(page)


def words_of(page: Any) -> list[Box]:
    """The words of a page that Docling has parsed."""
    height = page.dimension.height
    return [_word(cell, height) for cell in page.word_cells if cell.text.strip()]


def _word(cell: Any, page_height: float) -> Box:
    rect = cell.rect
    left, right = _ends(rect.r_x0, rect.r_x1, rect.r_x2, rect.r_x3)
    top, bottom = _ends(rect.r_y0, rect.r_y1, rect.r_y2, rect.r_y3)
    if rect.coord_origin.value == "BOTTOMLEFT":
        top, bottom = page_height - bottom, page_height - top
    size = bottom - top
    angle = round(rect.angle) % 360
    if 45 <= angle % 180 <= 135 and len(cell.text) > 1:
        # Text that runs upwards: keep it out of the rows it passes.
        size = right - left
    font = cell.font_name or ""
    return Box(
        text=cell.text,
        left=left,
        top=top if size == bottom - top else bottom - size,
        right=right,
        bottom=bottom,
        bold=bool(_BOLD.search(font)),
        mono=bool(_MONO.search(font)),
        size=size,
    )


def _ends(*values: float) -> tuple[float, float]:
    return min(values), max(values)


def is_unusable(words: list[Box], scan: bool) -> bool:
    """Whether a page's text layer is missing or useless, so that OCR has to read the page.

    Args:
        words: What the text layer holds.
        scan: Whether a picture covers the page.
    """
    text = "".join(word.text for word in words)
    if not text:
        return True
    if len(_BROKEN.findall(text)) > 0.1 * len(text):
        return True  # fonts without a map to characters
    return scan and len(text) < FEW_LETTERS
