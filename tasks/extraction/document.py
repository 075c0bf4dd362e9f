"""What reading one file yields, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Rect = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block begins in the text, its page or slide, and its box there if that is known.

    Boxes are in points from the page's top left corner, as the reader sees the page.
    """

    offset: int
    page: int
    box: Rect | None = None

    def to_row(self) -> list[float]:
        """As in raw_knowledge.jsonl: offset, page and, if known, left, top, right, bottom."""
        return [self.offset, self.page, *(round(value, 1) for value in self.box or ())]


@dataclass(slots=True)
class Extracted:
    """Markdown of one document.

    `page_starts` holds (page or slide number, offset into `content`), `places` where its blocks
    stand, ascending by offset; `problems` what could not be read while the rest could.
    """

    content: str
    page_starts: list[tuple[int, int]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    num_pages: int = 0
    num_ocr_pages: int = 0
    problems: list[str] = field(default_factory=list)

    def append_page(self, number: int, text: str, places: Iterable[Place] = ()) -> None:
        """Put a page's text at the end; the offsets of its places count from the page's start."""
        if self.content and text:
            self.content += "\n\n"
        start = len(self.content)
        self.page_starts.append((number, start))
        self.content += text
        self.num_pages += 1
        self.places += [Place(start + p.offset, p.page, p.box) for p in places]
