"""Lines of one column to blocks: headings, paragraphs, list items, code, tables. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median
from typing import Literal

from tasks.extraction.boxes import CJK, Box, join_row, split_rows, wrap_text
from tasks.extraction.document import Rect
from tasks.extraction.tables import find_tables

# Fonts of symbols without a map to characters yield the names of their glyphs (SM590000, a182).
_BULLET = re.compile(
    r"^([•●▪■◦‣○∙·►▶➢✓\ue000-\uf8ff]\s*(?=\S)|[–—*-]\s+|(SM\d{6}|/?a\d{2,3}|/[A-Z]\w*\d+)\s+)"
)
_NUMBER = re.compile(
    r"^(\(?\d{1,3}[.)](?!\d)|\(?[a-zA-Z][.)](?=\s)|[①-⑳]|[（(][一二三四五六七八九十]+[)）])\s*\S"
)
_CAPTION = re.compile(r"^(table|figure|fig\.|example|listing|图|表)\s*\d+", re.IGNORECASE)
_LEADER = re.compile(r"(\s?[.·…]){5,}\s*")
_SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’»)）」』]*$")
_HYPHEN = re.compile(r"([^\W\d_]+)-$")
_WORD_START = re.compile(r"^[^\W\d_]+")
_SYMBOLS = re.compile("[\ue000-\uf8ff]")

HEADING_RATIO = 1.15
_MAX_HEADING = 150  # characters
_LEADING = 1.25  # times the usual distance of lines; more is a paragraph's end

Kind = Literal["heading", "paragraph", "item", "code", "table", "picture"]


@dataclass(slots=True)
class Block:
    """A piece of a document; `size` is its text's height, `page` counts from one."""

    kind: Kind
    text: str
    size: float
    page: int
    box: Rect = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Style:
    """What is usual in a document: height of its running text, whether that is bold, its words."""

    body: float
    bold: bool = False
    words: Collection[str] = ()


def measure_style(boxes: Sequence[Box]) -> Style:
    """The usual style of a document, weighted by characters."""
    texts = sorted((b for b in boxes if b.kind == "text"), key=lambda b: b.height)
    total = sum(len(b.text) for b in texts)
    passed = 0
    body = 0.0
    for box in texts:
        passed += len(box.text)
        if passed * 2 >= total:
            body = box.height
            break
    bold = sum(len(b.text) for b in texts if b.bold) * 2 > total
    words = {w.lower() for b in texts for w in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", b.text)}
    return Style(body=body, bold=bold, words=words)


def build_blocks(region: Sequence[Box], style: Style, page: int) -> list[Block]:
    """Blocks of one region (a column, or a page without columns), from top to bottom.

    A table parts the text above from that below; a picture beside a paragraph does not cut it.
    """
    rows = split_rows([b for b in region if b.kind == "text"])
    tables = [b for b in region if b.kind == "table"]
    parts: list[Box | list[Box]] = [*tables, *find_tables(rows)]
    parts.sort(key=lambda part: part.top if isinstance(part, Box) else min(b.top for b in part))
    blocks: list[Block] = []
    for is_table, run in groupby(parts, key=lambda part: isinstance(part, Box)):
        if is_table:
            blocks += [_fixed(b, "table", page) for b in run if isinstance(b, Box)]
        else:
            lines = [join_row(row) for row in run if not isinstance(row, Box)]
            blocks += _build_text(lines, style, page)
    for picture in sorted((b for b in region if b.kind == "picture"), key=lambda b: b.top):
        at = next((i for i, b in enumerate(blocks) if b.box[1] >= picture.top), len(blocks))
        blocks.insert(at, _fixed(picture, "picture", page))
    return blocks


def _fixed(box: Box, kind: Kind, page: int) -> Block:
    return Block(kind, box.text, 0.0, page, (box.left, box.top, box.right, box.bottom))


def _build_text(lines: Sequence[Box], style: Style, page: int) -> list[Block]:
    """Group lines to paragraphs and name each group's kind."""
    pitch = _usual_pitch(lines)
    right = max(line.right for line in lines)
    groups: list[list[Box]] = []
    for line in lines:
        if groups and not _starts_block(groups[-1], line, pitch, right, style):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [_to_block(group, style, page) for group in groups]


def _usual_pitch(lines: Sequence[Box]) -> float:
    """Distance between the middles of neighbouring lines inside paragraphs: a low quartile."""
    pitches = sorted(b.middle - a.middle for a, b in pairwise(lines) if b.middle > a.middle)
    return pitches[len(pitches) // 4] if pitches else 0.0


def _starts_block(
    group: Sequence[Box], line: Box, pitch: float, right: float, style: Style
) -> bool:
    """Whether a line begins a new paragraph after the lines of `group`."""
    last = group[-1]
    em = last.height
    distance = line.middle - last.middle
    if line.mono and last.mono:
        return distance > 3 * em
    if line.mono != last.mono or line.bold != last.bold:
        return True
    if max(line.height, em) > HEADING_RATIO * min(line.height, em):
        return True
    if is_item(line.text) or _LEADER.search(line.text) or _LEADER.search(last.text):
        return True
    if min(line.height, em) >= HEADING_RATIO * style.body:
        return distance > 1.7 * em  # a heading of several lines is set apart from other leading
    if distance > _LEADING * pitch and distance > 1.15 * em:
        return True
    if _SENTENCE_END.search(last.text) and _CAPTION.match(line.text):
        return True
    return _is_shifted(group, line) or _is_last_line(last, line, group, right)


def _is_shifted(group: Sequence[Box], line: Box) -> bool:
    """Whether a line's left edge shows a new paragraph: indented, or back from a hanging one."""
    last = group[-1]
    indent = line.left - last.left
    if is_item(group[0].text):
        return indent < -0.8 * last.height
    if 0.6 * last.height < indent < 6 * last.height:
        return True
    return indent < -0.8 * last.height and len(group) > 1


def _is_last_line(last: Box, line: Box, group: Sequence[Box], right: float) -> bool:
    """Whether a line ended early although the next line's first word would have fitted."""
    left = min(b.left for b in group)
    first = re.match(rf"[{CJK}]{{1,2}}|\S+", line.text)
    share = len(first.group()) / max(len(line.text), 1) if first else 0.0
    if right - last.right < share * line.width + 0.5 * last.height:
        return False
    return bool(_SENTENCE_END.search(last.text)) or last.right - left < 0.6 * (right - left)


def is_item(text: str) -> bool:
    """Whether a line begins like an item of a list."""
    return bool(_BULLET.match(text) or _NUMBER.match(text))


def _to_block(group: Sequence[Box], style: Style, page: int) -> Block:
    size = median(line.height for line in group)
    kind, text = _name_kind(group, size, style)
    left, right = min(line.left for line in group), max(line.right for line in group)
    return Block(kind, text, size, page, (left, group[0].top, right, group[-1].bottom))


def _name_kind(group: Sequence[Box], size: float, style: Style) -> tuple[Kind, str]:
    if all(line.mono for line in group) and (len(group) > 1 or len(group[0].text) > 20):
        return "code", _to_code(group)
    text = group[0].text
    for line in group[1:]:
        text = join_lines(text, line.text, style.words)
    bullet = bool(_BULLET.match(text))
    text = " ".join(_SYMBOLS.sub(" ", _BULLET.sub("", text, count=1)).split())
    if bullet:
        return "item", f"- {text}"
    if leader := _LEADER.search(text):
        # A line of a table of contents.
        return "item", f"- {text[: leader.start()]} {text[leader.end() :]}".rstrip()
    if _is_heading(group, text, size, style):
        return "heading", text
    return ("item" if _NUMBER.match(text) else "paragraph"), text


def _to_code(group: Sequence[Box]) -> str:
    """Lines of a program, fenced, with their indentation."""
    left = min(line.left for line in group)
    width = median(line.width / max(len(line.text), 1) for line in group) or 1.0
    lines = [" " * round((line.left - left) / width) + line.text for line in group]
    return "\n".join(["```", *lines, "```"])


def _is_heading(group: Sequence[Box], text: str, size: float, style: Style) -> bool:
    if len(text) > _MAX_HEADING or not re.search(r"[^\W\d_]", text):
        return False
    if size >= HEADING_RATIO * style.body:
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
    return wrap_text(first, second)
