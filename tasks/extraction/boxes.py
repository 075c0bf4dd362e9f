"""Boxes of text on a page: rows, segments, reading order. Pure geometry, no library.

Coordinates have their origin at the top left and grow to the right and downwards; the unit is
whatever the source used (points or pixels), every threshold is relative to the text's height.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

CJK = r"\u2e80-\u2fff\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
_CJK_END = re.compile(f"[{CJK}]$")
_CJK_START = re.compile(f"^[{CJK}]")

_SPACE_WITHIN = 1.0  # heights; a wider gap in a row separates cells or columns
_STRETCHED = 2.2  # heights; spaces of a justified line, if they are all alike
_TOUCHING = 0.08  # heights; a smaller gap is no space (superscripts, a change of font)
_GUTTER = 0.8  # heights; the least width of the white strip between two columns
_MIN_COLUMN_LINES = 4


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of text, a table or a picture, and where it stands on its page.

    `size` is the height of the text itself where the box is taller (superscripts); 0 means the
    box's height. The text of a table is Markdown, that of a picture its mark.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    bold: bool = False
    mono: bool = False
    size: float = 0.0
    kind: Literal["text", "table", "picture"] = "text"

    @property
    def height(self) -> float:
        """Height of the text."""
        return self.size or self.bottom - self.top

    @property
    def width(self) -> float:
        """Width of the box."""
        return self.right - self.left

    @property
    def middle(self) -> float:
        """Vertical middle of the box."""
        return (self.top + self.bottom) / 2


def join_text(first: str, second: str) -> str:
    """Two pieces of one line: a space between them, none between two CJK characters."""
    if not first or not second or (_CJK_END.search(first) and _CJK_START.search(second)):
        return first + second
    return f"{first} {second}"


def wrap_text(first: str, second: str) -> str:
    """Two lines of one text: unlike within a line, one CJK character suffices for no space."""
    if _CJK_END.search(first) or _CJK_START.search(second):
        return first + second
    return join_text(first, second)


def split_rows(boxes: Iterable[Box]) -> list[list[Box]]:
    """Rows from top to bottom, each from left to right.

    A box belongs to a row if at least half of the smaller height overlaps with the row's middle.
    """
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda b: (b.middle, b.left)):
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
    return overlap >= 0.5 * min(bottom - top, box.bottom - box.top)


def join_words(words: Iterable[Box], *, touching: bool = True) -> list[Box]:
    """Words to segments: pieces of one row without a wide gap between them.

    Args:
        words: Boxes of single words or fragments.
        touching: Whether words without any gap belong to one word (true of PDF text layers;
            boxes that OCR finds may touch by chance).
    """
    segments: list[Box] = []
    for row in split_rows(_without_shadows(words)):
        current = row[0]
        limit = _widest_space(row)
        for word in row[1:]:
            gap = word.left - current.right
            if gap <= limit * max(current.height, word.height):
                height = min(current.height, word.height)
                current = _merge(current, word, glued=touching and gap < _TOUCHING * height)
            else:
                segments.append(current)
                current = word
        segments.append(current)
    return segments


def _without_shadows(words: Iterable[Box]) -> list[Box]:
    """Words without those drawn a second time, slightly moved, to look bold or raised."""
    kept: list[Box] = []
    seen: dict[tuple[str, int], list[Box]] = {}
    for word in words:
        near = 0.3 * word.height
        # In steps of a word's height only neighbours can be so near: a page is read in linear time.
        step = int(word.top // max(word.height, 1.0))
        around = [w for s in (step - 1, step, step + 1) for w in seen.get((word.text, s), ())]
        if any(abs(w.left - word.left) < near and abs(w.top - word.top) < near for w in around):
            continue
        seen.setdefault((word.text, step), []).append(word)
        kept.append(word)
    return kept


def _widest_space(row: Sequence[Box]) -> float:
    """The widest gap, in heights, that is still a space: justified lines stretch all of theirs."""
    gaps = [(b.left - a.right) / max(a.height, b.height) for a, b in pairwise(row)]
    if len(gaps) >= 2 and max(gaps) <= _STRETCHED and max(gaps) <= 1.6 * max(min(gaps), 0.0):
        return _STRETCHED
    return _SPACE_WITHIN


def _merge(left: Box, right: Box, *, glued: bool) -> Box:
    count = len(left.text) + len(right.text)
    return Box(
        text=left.text + right.text if glued else join_text(left.text, right.text),
        left=min(left.left, right.left),
        top=min(left.top, right.top),
        right=max(left.right, right.right),
        bottom=max(left.bottom, right.bottom),
        bold=left.bold and right.bold,
        mono=left.mono and right.mono,
        size=(left.height * len(left.text) + right.height * len(right.text)) / max(count, 1),
    )


def join_row(row: Sequence[Box]) -> Box:
    """One line of all segments of a row, whatever the gaps between them."""
    line = row[0]
    for segment in row[1:]:
        line = _merge(line, segment, glued=False)
    return line


def order_regions(boxes: Sequence[Box]) -> list[list[Box]]:
    """Cut a page into regions of one column each, in reading order.

    The white strip that runs beside most running text on both sides parts two columns; what
    stands above, left, right of and below it is cut again.
    """
    cut = _find_columns(boxes)
    if cut is None:
        return [list(boxes)] if boxes else []
    return [region for part in cut for region in order_regions(part)]


def _find_columns(boxes: Sequence[Box]) -> list[list[Box]] | None:
    """Parts above, left of, right of and below the best strip; None if there is no strip."""
    texts = [b for b in boxes if b.kind == "text"]
    if len(texts) < 2 * _MIN_COLUMN_LINES:
        return None
    em = median(b.height for b in texts)
    best: tuple[float, float, float, float] | None = None
    for edge in _column_starts(texts, em):
        strip = (edge - _GUTTER * em, edge - 0.05 * em)
        for top, bottom in _free_bands(boxes, strip):
            inside = [b for b in texts if top < b.middle < bottom]
            left = [b for b in inside if b.right <= strip[1]]
            right = [b for b in inside if b.left >= strip[0]]
            if _is_column(left) and _is_column(right):
                score = min(_area(left), _area(right))
                if best is None or score > best[0]:
                    best = (score, strip[0], top, bottom)
    if best is None:
        return None
    _, x, top, bottom = best
    inside = [b for b in boxes if top < b.middle < bottom]
    parts = (
        [b for b in boxes if b.middle <= top],
        [b for b in inside if b.left < x],
        [b for b in inside if b.left >= x],
        [b for b in boxes if b.middle >= bottom],
    )
    return [part for part in parts if part]


def _column_starts(texts: Sequence[Box], em: float) -> list[float]:
    """Left edges that several lines share: the only places where a column can begin."""
    starts: list[float] = []
    group: list[float] = []
    for edge in [*sorted(b.left for b in texts), float("inf")]:
        if group and edge - group[-1] > 0.3 * em:
            if len(group) >= _MIN_COLUMN_LINES:
                starts.append(group[0])
            group = []
        group.append(edge)
    return starts[1:]


def _free_bands(boxes: Sequence[Box], strip: tuple[float, float]) -> list[tuple[float, float]]:
    """Vertical stretches in which nothing touches the strip."""
    blocking = [b for b in boxes if b.left < strip[1] and b.right > strip[0]]
    bands = []
    top = min(b.top for b in boxes) - 1.0
    for box in sorted(blocking, key=lambda b: b.top):
        # Lines of neighbouring columns may overlap a little with a heading above them.
        if box.middle > top:
            bands.append((top, box.middle))
        top = max(top, box.middle, box.bottom - 0.4 * box.height)
    bands.append((top, max(b.bottom for b in boxes) + 1.0))
    return bands


def _is_column(texts: Sequence[Box]) -> bool:
    """Whether lines look like running text: enough of them, most of them filling the width."""
    if len(texts) < _MIN_COLUMN_LINES:
        return False
    width = max(b.right for b in texts) - min(b.left for b in texts)
    height = median(b.height for b in texts)
    filled = median(b.width for b in texts)
    return filled >= 0.5 * width and filled >= 8 * height


def _area(texts: Iterable[Box]) -> float:
    return sum(b.width * b.height for b in texts)
