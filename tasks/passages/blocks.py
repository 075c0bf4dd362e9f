"""Markdown to units that are never cut: sentences, table rows, list items, lines of code."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from tasks.passages.sentences import split_sentences

Kind = Literal["sentence", "item", "row", "code"]
Line = tuple[int, str]  # where it starts in the document, and its text

_HEADING = re.compile(r"(#{1,6})\s+(.+?)(?:\s+#+)?\s*$")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+")
# Only these begin a list in the midst of a paragraph: "in\n1904. Then" is no list.
_FIRST_ITEM = re.compile(r"\s*(?:[-*+•]|1[.)])\s+")
_RULE = re.compile(r"\s*\|?[\s:|-]+\|?\s*$")
_BREAK = re.compile(r"\s*(?:([-*_])(?:\s*\1){2,}|={3,})\s*$")
_FENCE = re.compile(r"\s*(?:```[^`]*$|~~~)")
_CELL_EDGE = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of text that stays whole.

    Args:
        text: The piece; a table row is one line of Markdown.
        kind: What it is.
        offset: Where it starts in the document.
        headings: Headings above it, outermost first.
        table_head: For a row, the table's header line, else empty.
    """

    text: str
    kind: Kind
    offset: int
    headings: tuple[str, ...]
    table_head: str = ""


def read_units(content: str) -> list[Unit]:
    """All units of a Markdown document in their order; headings become paths, not units."""
    units: list[Unit] = []
    path: list[tuple[int, str]] = []
    for offset, block in _split_blocks(content):
        heading = _HEADING.match(block)
        if heading and "\n" not in block:
            level = len(heading[1])
            path = [entry for entry in path if entry[0] < level]
            path.append((level, _plain(heading[2])))
            continue
        headings = tuple(title for _, title in path)
        units += _units_of(block, offset, headings)
    return units


def split_cells(row: str) -> list[str]:
    """The cells of a table row without the spaces around them; an escaped bar parts none."""
    _, *cells = _CELL_EDGE.split(row.strip())
    if cells and not cells[-1].strip():
        cells.pop()
    return [" ".join(cell.split()) for cell in cells]


def page_of(offset: int, page_starts: list[list[int]]) -> int | None:
    """The page on which an offset lies; None for formats without pages.

    Args:
        offset: A place in the document's text.
        page_starts: Pairs of page number and offset of its first character, ascending.
    """
    if not page_starts:
        return None
    position = bisect_right([start for _, start in page_starts], offset) - 1
    return page_starts[max(position, 0)][0]


def _split_blocks(content: str) -> Iterator[tuple[int, str]]:
    """Blocks between blank lines, headings and fenced code by themselves, with their offsets."""
    start, lines, fenced, offset = 0, list[str](), False, 0
    for line in content.splitlines(keepends=True):
        text = line.rstrip("\r\n")
        fence = _FENCE.match(text) is not None
        alone = not fenced and _HEADING.match(text) is not None
        if lines and ((not fenced and (not text.strip() or fence)) or alone):
            yield start, "\n".join(lines)
            lines = []
        if alone:
            yield offset, text
        elif text.strip() or fenced:
            if not lines:
                start = offset
            lines.append(text)
        if fence:
            if fenced:
                yield start, "\n".join(lines)
                lines = []
            fenced = not fenced
        offset += len(line)
    if lines:
        yield start, "\n".join(lines)


def _units_of(block: str, offset: int, headings: tuple[str, ...]) -> Iterator[Unit]:
    lines: list[Line] = []
    for text in block.split("\n"):
        lines.append((offset, text))
        offset += len(text) + 1
    if _FENCE.match(lines[0][1]):
        for start, text in lines:
            if text.strip() and not _FENCE.match(text):
                yield Unit(text.rstrip(), "code", start, headings)
        return
    for kind, run in _runs([line for line in lines if not _BREAK.match(line[1])]):
        if kind == "row" and len(run) > 1:
            yield from _rows(run, headings)
        elif kind == "item":
            yield from (Unit(item, "item", start, headings) for start, item in _items(run))
        else:
            yield from _sentences(run, headings)


def _runs(lines: list[Line]) -> Iterator[tuple[Kind, list[Line]]]:
    """Consecutive lines of one kind: a table's rows, a list's lines, a paragraph's lines."""
    kinds: list[Kind] = []
    for _, line in lines:
        before = kinds[-1] if kinds else None
        item = _FIRST_ITEM if before == "sentence" else _ITEM
        if line.lstrip().startswith("|"):
            kinds.append("row")
        elif before == "item" or item.match(line):
            kinds.append("item")
        else:
            kinds.append("sentence")
    for kind, run in groupby(zip(kinds, lines, strict=True), key=lambda pair: pair[0]):
        yield kind, [line for _, line in run]


def _sentences(lines: list[Line], headings: tuple[str, ...]) -> Iterator[Unit]:
    # Splitting changes nothing but spaces: counting all else tells where a sentence begins.
    places = [start + i for start, text in lines for i, c in enumerate(text) if not c.isspace()]
    seen = 0
    for sentence in split_sentences(" ".join(text for _, text in lines)):
        yield Unit(sentence, "sentence", places[seen], headings)
        seen += sum(not c.isspace() for c in sentence)


def _rows(lines: list[Line], headings: tuple[str, ...]) -> Iterator[Unit]:
    (first, head), *rest = ((start, _tidy_row(text)) for start, text in lines)
    rows = [(start, row) for start, row in rest if not _RULE.fullmatch(row)]
    for start, row in rows:
        yield Unit(row, "row", start, headings, table_head=head)
    if not rows:
        yield Unit(head, "row", first, headings)


def _items(lines: list[Line]) -> list[Line]:
    """List items; a line that does not start one continues the item before it."""
    items: list[Line] = []
    for start, line in lines:
        if _ITEM.match(line) or not items:
            items.append((start, line.strip()))
        else:
            first, text = items[-1]
            items[-1] = (first, f"{text} {line.strip()}")
    return items


def _tidy_row(line: str) -> str:
    """A row without the spaces that align its columns."""
    return "| " + " | ".join(split_cells(line)) + " |"


def _plain(heading: str) -> str:
    return re.sub(r"[*_`]", "", heading).strip()
