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
        offset: Where its block starts in the document.
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
    lines = block.split("\n")
    if _FENCE.match(lines[0]):
        code = [line for line in lines if not _FENCE.match(line) and line.strip()]
        yield from (Unit(line.rstrip(), "code", offset, headings) for line in code)
        return
    for kind, run in _runs([line for line in lines if not _BREAK.match(line)]):
        if kind == "row" and len(run) > 1:
            yield from _rows(run, offset, headings)
        elif kind == "item":
            yield from (Unit(item, "item", offset, headings) for item in _items(run))
        else:
            for sentence in split_sentences(" ".join(run)):
                yield Unit(sentence, "sentence", offset, headings)


def _runs(lines: list[str]) -> Iterator[tuple[Kind, list[str]]]:
    """Consecutive lines of one kind: a table's rows, a list's lines, a paragraph's lines."""
    kinds: list[Kind] = []
    for line in lines:
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


def _rows(lines: list[str], offset: int, headings: tuple[str, ...]) -> Iterator[Unit]:
    head, *rest = (_tidy_row(line) for line in lines)
    rows = [row for row in rest if not _RULE.fullmatch(row)]
    for row in rows:
        yield Unit(row, "row", offset, headings, table_head=head)
    if not rows:
        yield Unit(head, "row", offset, headings)


def _items(lines: list[str]) -> list[str]:
    """List items; a line that does not start one continues the item before it."""
    items: list[str] = []
    for line in lines:
        if _ITEM.match(line) or not items:
            items.append(line.strip())
        else:
            items[-1] += " " + line.strip()
    return items


def _tidy_row(line: str) -> str:
    """A row without the spaces that align its columns."""
    return "| " + " | ".join(split_cells(line)) + " |"


def _plain(heading: str) -> str:
    return re.sub(r"[*_`]", "", heading).strip()
