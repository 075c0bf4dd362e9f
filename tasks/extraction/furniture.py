"""Running headers, footers and page numbers: what stands at the same place on most pages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.extraction.blocks import HEADING_RATIO, measure_style
from tasks.extraction.boxes import Box, split_rows

_MARGIN = 0.14  # share of the page's height at its top and bottom
_NUMBER = re.compile(
    r"^(page|seite|p\.|第)?\s*[-–—]?\s*(\d{1,4}|[ivxlc]{1,7})(-\d{1,4})?\s*[-–—]?\s*(页|頁)?"
    r"(\s*(/|of|von)\s*\d{1,4})?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on one page; sizes and places in the same unit."""

    number: int
    width: float
    height: float
    boxes: tuple[Box, ...]


def strip_furniture(pages: Sequence[Page]) -> list[Page]:
    """The pages without what repeats in their margins, and without their numbers.

    A text (its digits aside, unless it is as large as a heading) or picture repeats if it stands
    at the same height on three pages, or on two of no more than four. Texts go from the outside
    inwards only: what stands behind a row that does not repeat belongs to the page's own text.
    """
    body = measure_style([box for page in pages for box in page.boxes]).body
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    for page in pages:
        for box in page.boxes:
            if _in_margin(box, page):
                for place in _places(box, page):
                    seen[(_key(box, body), place)].add(page.number)
    needed = 2 if len(pages) <= 4 else 3
    repeated = {key for key, numbers in seen.items() if len(numbers) >= needed}
    return [replace(page, boxes=tuple(_keep(page, repeated, body))) for page in pages]


def _keep(page: Page, repeated: set[tuple[str, int]], body: float) -> list[Box]:
    found = {
        box
        for box in page.boxes
        if _in_margin(box, page)
        and any((_key(box, body), place) in repeated for place in _places(box, page))
    }
    rows = split_rows(box for box in page.boxes if box.kind == "text")
    gone = {box for box in found if box.kind == "picture"} | _numbered_rows(page)
    for ordered in (rows, rows[::-1]):
        for row in ordered:
            if not any(box in found or box in gone for box in row):
                break
            gone.update(box for box in row if box in found)
    return [box for box in page.boxes if box not in gone]


def _numbered_rows(page: Page) -> set[Box]:
    """Texts of the outermost rows that hold a page number and stand apart from the rest."""
    rows = split_rows(box for box in page.boxes if box.kind == "text")
    if len(rows) < 2:
        return set()
    found: set[Box] = set()
    for row, neighbour in ((rows[0], rows[1]), (rows[-1], rows[-2])):
        height = max(box.height for box in row)
        apart = abs(row[0].middle - neighbour[0].middle) - height
        ends = (row[0].text.strip(), row[-1].text.strip())
        # A number all alone may stand higher: below the text of a page that is not full.
        margin = _MARGIN if len(row) > 1 else 1.5 * _MARGIN
        if (
            all(_in_margin(box, page, margin) for box in row)
            and any(_NUMBER.match(end) for end in ends)
            and apart > 0.6 * height
            and sum(len(box.text) for box in row) < 120
        ):
            found.update(row)
    return found


def _in_margin(box: Box, page: Page, margin: float = _MARGIN) -> bool:
    if box.kind == "table":
        return False
    limit = margin * page.height
    return box.middle < limit or box.middle > page.height - limit


def _key(box: Box, body: float) -> str:
    if box.kind == "text" and box.height >= HEADING_RATIO * body:
        return box.text  # "Chapter 1" and "Chapter 2" head pages of their own
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", box.text)


def _places(box: Box, page: Page) -> tuple[int, int]:
    """The height on the page in steps of 2 %, and its neighbour, so that no step's edge divides."""
    place = box.middle / page.height * 50
    return int(place), int(place + 0.5) + 1000
