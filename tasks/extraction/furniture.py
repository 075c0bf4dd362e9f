"""Running headers, footers and page numbers: what stands at the same place on most pages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.extraction.boxes import Box

_MARGIN = 0.12  # share of the page's height at its top and bottom
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

    A text (its digits aside) or picture repeats if it stands at the same height on at least two
    fifths of three or more pages, so that different left and right pages both count.
    """
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    for page in pages:
        for box in page.boxes:
            if _in_margin(box, page):
                for place in _places(box, page):
                    seen[(_key(box), place)].add(page.number)
    needed = max(3, 0.4 * len(pages))
    repeated = {key for key, numbers in seen.items() if len(numbers) >= needed}
    return [replace(page, boxes=tuple(_keep(page, repeated))) for page in pages]


def _keep(page: Page, repeated: set[tuple[str, int]]) -> list[Box]:
    kept = []
    for box in page.boxes:
        inside = _in_margin(box, page)
        if inside and any((_key(box), place) in repeated for place in _places(box, page)):
            continue
        if inside and _is_page_number(box, page):
            continue
        kept.append(box)
    return kept


def _in_margin(box: Box, page: Page) -> bool:
    if box.kind == "table":
        return False
    limit = _MARGIN * page.height
    return box.middle < limit or box.middle > page.height - limit


def _key(box: Box) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", box.text)


def _places(box: Box, page: Page) -> tuple[int, int]:
    """The height on the page in steps of 2 %, and its neighbour, so that no step's edge divides."""
    place = box.middle / page.height * 50
    return int(place), int(place + 0.5) + 1000


def _is_page_number(box: Box, page: Page) -> bool:
    """A number outermost at the top or bottom of its page, with nothing else in its row."""
    if box.kind != "text" or not _NUMBER.match(box.text.strip()):
        return False
    others = [b for b in page.boxes if b is not box]
    outermost = all(b.middle > box.middle for b in others) or all(
        b.middle < box.middle for b in others
    )
    return bool(others) and outermost
