"""Boxes of text on a page: rows, columns, reading order. Pure geometry, no library.

Coordinates have their origin at the top left and grow to the right and downwards; the unit is
whatever the source used (points or pixels), every threshold is relative to the text's height.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

_CJK = r"\u2e80-\u2fff\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
_CJK_END = re.compile(f"[{_CJK}]$")
_CJK_START = re.compile(f"^[{_CJK}]")

_SPACE_WITHIN = 1.0  # heights; a wider gap in a row separates cells or columns
_GUTTER = 0.8  # heights; the least width of the white strip between two columns
_MIN_COLUMN_LINES = 4


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of text and where it stands; `height` is the text's own, not the box's."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    bold: bool = False

    @property
    def height(self) -> float:
        """Height of the text."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Width of the text."""
        return self.right - self.left


def join_text(first: str, second: str) -> str:
    """Two pieces of one line: a space between them, none between two CJK characters."""
    if not first or not second:
        return first + second
    if _CJK_END.search(first) and _CJK_START.search(second):
        return first + second
    return f"{first} {second}"


def split_rows(boxes: Iterable[Box]) -> list[list[Box]]:
    """Rows from top to bottom, each from left to right.

    A box belongs to a row if at least half of the smaller height overlaps with the row's last box.
    """
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda b: (b.top + b.bottom, b.left)):
        row = next((r for r in reversed(rows[-3:]) if _same_row(r, box)), None)
        if row is None:
            rows.append([box])
        else:
            row.append(box)
    for row in rows:
        row.sort(key=lambda b: (b.left, b.top))
    return rows


def _same_row(row: Sequence[Box], box: Box) -> bool:
    top = median(b.top for b in row)
    bottom = median(b.bottom for b in row)
    overlap = min(bottom, box.bottom) - max(top, box.top)
    return overlap >= 0.5 * min(bottom - top, box.height)


def join_words(words: Iterable[Box]) -> list[Box]:
    """Words to segments: pieces of one row without a wide gap between them."""
    segments: list[Box] = []
    for row in split_rows(words):
        current: Box | None = None
        for word in row:
            if current is not None and _continues(current, word):
                current = _merge(current, word)
            else:
                if current is not None:
                    segments.append(current)
                current = word
        if current is not None:
            segments.append(current)
    return segments


def _continues(left: Box, right: Box) -> bool:
    gap = right.left - left.right
    return gap <= _SPACE_WITHIN * max(left.height, right.height)


def _merge(left: Box, right: Box) -> Box:
    # Letters set apart word by word (Chinese, kerned headings) touch: no space between them.
    touching = right.left - left.right < 0.08 * min(left.height, right.height)
    text = left.text + right.text if touching else join_text(left.text, right.text)
    return Box(
        text=text,
        left=min(left.left, right.left),
        top=min(left.top, right.top),
        right=max(left.right, right.right),
        bottom=max(left.bottom, right.bottom),
        bold=left.bold and right.bold,
    )


def order_regions(segments: Sequence[Box]) -> list[list[Box]]:
    """Cut a page into regions of one column each, in reading order.

    The widest-reaching white strip that runs beside several lines of running text on both sides
    parts two columns; what stands above, left, right and below is cut again.
    """
    if not segments:
        return []
    cut = _find_columns(segments)
    if cut is None:
        return [list(segments)]
    regions: list[list[Box]] = []
    for part in cut:
        regions += order_regions(part)
    return regions


def _find_columns(segments: Sequence[Box]) -> list[list[Box]] | None:
    """Parts above, left, right, below the best pair of columns; None if there is none."""
    em = median(s.height for s in segments)
    best: tuple[float, float, float, float] | None = None
    for edge in _column_starts(segments, em):
        strip = (edge - _GUTTER * em, edge - 0.05 * em)
        for top, bottom in _free_bands(segments, strip):
            inside = [s for s in segments if s.top >= top and s.bottom <= bottom]
            left = [s for s in inside if s.right <= strip[1]]
            right = [s for s in inside if s.left >= strip[0]]
            if _is_column(left) and _is_column(right):
                score = min(_area(left), _area(right))
                if best is None or score > best[0]:
                    best = (score, strip[0], top, bottom)
    if best is None:
        return None
    _, x, top, bottom = best
    above = [s for s in segments if s.top < top]
    below = [s for s in segments if s.bottom > bottom and s.top >= top]
    inside = [s for s in segments if s.top >= top and s.bottom <= bottom]
    left = [s for s in inside if s.left < x]
    right = [s for s in inside if s.left >= x]
    return [part for part in (above, left, right, below) if part]


def _column_starts(segments: Sequence[Box], em: float) -> list[float]:
    """Left edges that several segments share: the only places where a column can begin."""
    edges = sorted(s.left for s in segments)
    starts: list[float] = []
    group: list[float] = []
    for edge in [*edges, float("inf")]:
        if group and edge - group[-1] > 0.3 * em:
            if len(group) >= _MIN_COLUMN_LINES:
                starts.append(group[0])
            group = []
        group.append(edge)
    return starts[1:] if len(starts) > 1 else []


def _free_bands(segments: Sequence[Box], strip: tuple[float, float]) -> list[tuple[float, float]]:
    """Vertical stretches in which no segment crosses the strip."""
    crossing = sorted(
        (s for s in segments if s.left < strip[0] and s.right > strip[1]), key=lambda s: s.top
    )
    # A segment that ends or begins inside the strip leaves too little white: it blocks, too.
    crossing += [
        s
        for s in segments
        if strip[0] < s.right <= strip[1] or strip[0] < s.left < strip[1] and s.right > strip[1]
    ]
    crossing.sort(key=lambda s: s.top)
    bands = []
    top = min(s.top for s in segments)
    for segment in crossing:
        if segment.top > top:
            bands.append((top, segment.top + 0.25 * segment.height))
        top = max(top, segment.bottom - 0.25 * segment.height)
    bands.append((top, max(s.bottom for s in segments)))
    return bands


def _is_column(segments: Sequence[Box]) -> bool:
    """Whether segments look like running text: enough lines, most of them filling the width."""
    if len(segments) < _MIN_COLUMN_LINES:
        return False
    width = max(s.right for s in segments) - min(s.left for s in segments)
    height = median(s.height for s in segments)
    filled = median(s.width for s in segments)
    return filled >= 0.5 * width and filled >= 8 * height


def _area(segments: Iterable[Box]) -> float:
    return sum(s.width * s.height for s in segments)


def shift(box: Box, text: str) -> Box:
    """The same place with another text."""
    return replace(box, text=text)
