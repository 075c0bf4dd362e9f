"""Lines of one column to blocks: headings, paragraphs, list items, tables. Pure functions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from tasks.extraction.boxes import CJK, Box, join_row, join_text, split_rows
from tasks.extraction.tables import find_tables

_BULLET = re.compile(r"^[•●▪■◦‣○∙·►▶➢✓\uf0b7\uf0a7\u2022–—*-](\s+|(?=[^\W\d_]))")
_NUMBER = re.compile(
    r"^(\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|[①-⑳]|[（(][一二三四五六七八九十]+[)）])\s*\S"
)
_SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’»)）」』]*$")
_HYPHEN = re.compile(r"([^\W\d_]+)-$")
_WORD_START = re.compile(r"^[^\W\d_]+")

_HEADING_RATIO = 1.15
_MAX_HEADING = 150  # characters
_LEADING = 1.25  # times the usual distance of lines; more is a paragraph's end

Kind = Literal["heading", "paragraph", "item", "table", "picture"]


@dataclass(slots=True)
class Block:
    """A piece of a document; `size` is its text's height, `page` counts from one."""

    kind: Kind
    text: str
    size: float
    page: int


@dataclass(frozen=True, slots=True)
class Style:
    """What is usual in a document: height of its running text, whether that is bold, its words."""

    body: float
    bold: bool = False
    words: Collection[str] = ()


def measure_style(boxes: Sequence[Box]) -> Style:
    """The usual style of a document, weighted by characters."""
    texts = [b for b in boxes if b.kind == "text"]
    weighted = sorted((b.height, len(b.text), b.bold) for b in texts)
    total = sum(count for _, count, _ in weighted)
    passed = 0
    body = 0.0
    for height, count, _ in weighted:
        passed += count
        if passed * 2 >= total:
            body = height
            break
    bold = sum(count for _, count, is_bold in weighted if is_bold) * 2 > total
    words = {w.lower() for b in texts for w in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", b.text)}
    return Style(body=body, bold=bold, words=words)


def build_blocks(region: Sequence[Box], style: Style, page: int) -> list[Block]:
    """Blocks of one region (a column, or a page without columns), from top to bottom."""
    fixed = [b for b in region if b.kind != "text"]
    rows = split_rows([b for b in region if b.kind == "text"])
    parts: list[Box | list[Box]] = [*fixed, *find_tables(rows)]
    parts.sort(key=lambda part: part.top if isinstance(part, Box) else min(b.top for b in part))
    blocks: list[Block] = []
    lines: list[Box] = []
    for part in parts:
        if isinstance(part, Box):
            blocks += _build_text(lines, style, page)
            lines = []
            kind: Kind = "table" if part.kind == "table" else "picture"
            blocks.append(Block(kind, part.text, 0.0, page))
        else:
            lines.append(join_row(part))
    return blocks + _build_text(lines, style, page)


def _build_text(lines: Sequence[Box], style: Style, page: int) -> list[Block]:
    """Group lines to paragraphs and name each group's kind."""
    if not lines:
        return []
    pitch = _usual_pitch(lines)
    right = max(line.right for line in lines)
    groups: list[list[Box]] = []
    for line in lines:
        if groups and not _starts_block(groups[-1], line, pitch, right):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [_to_block(group, style, page) for group in groups]


def _usual_pitch(lines: Sequence[Box]) -> float:
    """Distance between the middles of neighbouring lines inside paragraphs: a low quartile."""
    pitches = sorted(
        b.middle - a.middle for a, b in itertools.pairwise(lines) if b.middle > a.middle
    )
    return pitches[len(pitches) // 4] if pitches else 0.0


def _starts_block(group: Sequence[Box], line: Box, pitch: float, right: float) -> bool:
    """Whether a line begins a new paragraph after the lines of `group`."""
    last = group[-1]
    em = last.height
    distance = line.middle - last.middle
    if distance > _LEADING * pitch and distance > 1.15 * em:
        return True
    if max(line.height, em) > _HEADING_RATIO * min(line.height, em) or line.bold != last.bold:
        return True
    if is_item(line.text):
        return True
    indent = line.left - last.left
    if is_item(group[0].text):
        if len(group) == 1 and indent > 0:
            return False
    elif indent > 0.8 * em and indent < 6 * em:
        return True
    if indent < -0.8 * em and len(group) > 1:
        return True
    return _is_last_line(last, line, min(b.left for b in group), right)


def _is_last_line(last: Box, line: Box, left: float, right: float) -> bool:
    """Whether a line ended early although the next line's first word would have fitted."""
    first = re.match(rf"[{CJK}]{{1,2}}|\S+", line.text)
    share = len(first.group()) / max(len(line.text), 1) if first else 0.0
    room = right - last.right
    if room < share * line.width + 0.5 * last.height:
        return False
    return bool(_SENTENCE_END.search(last.text)) or last.right - left < 0.6 * (right - left)


def is_item(text: str) -> bool:
    """Whether a line begins like an item of a list."""
    return bool(_BULLET.match(text) or _NUMBER.match(text))


def _to_block(group: Sequence[Box], style: Style, page: int) -> Block:
    text = group[0].text
    for line in group[1:]:
        text = join_lines(text, line.text, style.words)
    size = median(line.height for line in group)
    if _BULLET.match(text):
        return Block("item", "- " + _BULLET.sub("", text, count=1).strip(), size, page)
    if _is_heading(group, text, size, style):
        return Block("heading", text, size, page)
    if _NUMBER.match(text):
        return Block("item", text, size, page)
    return Block("paragraph", text, size, page)


def _is_heading(group: Sequence[Box], text: str, size: float, style: Style) -> bool:
    if len(text) > _MAX_HEADING or not re.search(r"[^\W\d_]", text):
        return False
    if size >= _HEADING_RATIO * style.body:
        return True
    bold = all(line.bold for line in group) and not style.bold
    return bold and size >= 0.95 * style.body and len(group) <= 2 and text[-1] not in ".;,。；，"


def join_lines(first: str, second: str, words: Collection[str] = ()) -> str:
    """Two lines of one paragraph; a word cut by a hyphen is made whole.

    A compound that stands with its hyphen elsewhere in the document (`words`) keeps it.
    """
    if first.endswith("\u00ad"):
        return first[:-1] + second
    cut = _HYPHEN.search(first)
    rest = _WORD_START.match(second)
    if cut and rest and rest.group()[0].islower():
        whole = f"{cut.group(1)}-{rest.group()}".lower()
        return (first if whole in words else first[:-1]) + second
    return join_text(first, second)
