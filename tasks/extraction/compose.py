"""Pages of boxes to one Markdown text, with the place where each page begins."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.extraction.blocks import Block, Style, build_blocks, join_lines, measure_style
from tasks.extraction.boxes import order_regions
from tasks.extraction.document import Place
from tasks.extraction.furniture import Page, strip_furniture

_OPEN_END = re.compile(r"[\w,，、\-–(\u00ad]$")
_CONTINUES = re.compile(r"^[^\W\d_A-Z]")
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Composed:
    """Markdown; for each page its number and the offset of its first character; its blocks."""

    content: str
    page_starts: tuple[tuple[int, int], ...]
    places: tuple[Place, ...] = ()


def compose(pages: Sequence[Page]) -> Composed:
    """Markdown of all pages: furniture removed, columns in order, lines joined to paragraphs.

    Args:
        pages: Pages whose text boxes are segments (see `boxes.join_words`).
    """
    pages = strip_furniture(pages)
    style = measure_style([box for page in pages for box in page.boxes])
    blocks: list[Block] = []
    for page in pages:
        for region in order_regions(page.boxes):
            blocks += build_blocks(region, style, page.number)
    return render(blocks, [page.number for page in pages], style)


def render(blocks: Sequence[Block], numbers: Sequence[int], style: Style) -> Composed:
    """Markdown of blocks; a paragraph that runs on over a column or page stays one paragraph."""
    levels = _heading_levels(blocks)
    content = ""
    starts: dict[int, int] = {}
    places: list[Place] = []
    last: Block | None = None
    for block in blocks:
        text = (
            "#" * levels[block.size] + " " + block.text if block.kind == "heading" else block.text
        )
        if last is not None and _runs_on(last, block):
            joined = join_lines(content, text, style.words)
            start = max(len(joined) - len(text), 0)
            content = joined
        else:
            if last is not None:
                content += "\n" if last.kind == block.kind == "item" else "\n\n"
            start = len(content)
            content += text
        starts.setdefault(block.page, start)
        places.append(Place(start, block.page, block.box))
        last = block
    return Composed(content, _fill_starts(starts, numbers, len(content)), tuple(places))


def _heading_levels(blocks: Sequence[Block]) -> dict[float, int]:
    """Level of each height of headings; heights within 8 % are one level, the largest is 1.

    Heights on a title page occur once each: those above the first one that recurs share level 1.
    """
    counts = Counter(b.size for b in blocks if b.kind == "heading")
    steps: list[list[float]] = []
    for size in sorted(counts, reverse=True):
        if steps and size >= 0.92 * steps[-1][0]:
            steps[-1].append(size)
        else:
            steps.append([size])
    levels: dict[float, int] = {}
    level = 1
    recurred = False
    for i, step in enumerate(steps):
        recurs = sum(counts[size] for size in step) > 1
        if i > 0 and (recurs or recurred):
            level = min(level + 1, _DEEPEST)
        recurred = recurred or recurs
        levels.update(dict.fromkeys(step, level))
    return levels


def _runs_on(last: Block, block: Block) -> bool:
    if last.kind not in ("paragraph", "item") or block.kind != "paragraph":
        return False
    if max(last.size, block.size) > 1.1 * min(last.size, block.size):
        return False
    return bool(_OPEN_END.search(last.text) and _CONTINUES.match(block.text))


def _fill_starts(
    starts: dict[int, int], numbers: Sequence[int], end: int
) -> tuple[tuple[int, int], ...]:
    """A page without text begins where the next one does."""
    filled: list[tuple[int, int]] = []
    for number in reversed(numbers):
        end = starts.get(number, end)
        filled.append((number, end))
    return tuple(reversed(filled))
