"""Units to passages: as many as fit, never cut, with the heading in front for context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from tasks.passages.blocks import Unit, split_cells
from tasks.passages.sentences import joiner, split_clauses

CountTokens = Callable[[str], int]

# The context line may take at most this part of a passage.
_CONTEXT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Packed:
    """A passage's text, the headings above it, and where its first and last unit start."""

    text: str
    headings: tuple[str, ...]
    offset: int
    last: int


@dataclass(frozen=True, slots=True)
class TooLong:
    """A unit that no passage can hold whole."""

    text: str
    tokens: int


def pack(units: Iterable[Unit], limit: int, count: CountTokens) -> Iterator[Packed | TooLong]:
    """Fill passages with consecutive units under the same headings.

    Args:
        units: Units of one document, in order.
        limit: Most tokens of a passage, its context line included.
        count: Tokens of a text.

    Yields:
        Passages in order, and the units that exceed the limit even when cut at clauses.
    """
    for headings, section in groupby(units, key=lambda unit: unit.headings):
        context = _context(headings, limit, count)
        batch: list[Unit] = []
        for unit in section:
            for piece in _fit(unit, context, limit, count):
                # A passage ends where a piece is left out: its text has no hidden gaps.
                ends = isinstance(piece, TooLong) or (
                    count(_render(context, [*batch, piece])) > limit
                )
                if batch and ends:
                    yield _pack_up(batch, context, headings)
                    batch = []
                if isinstance(piece, TooLong):
                    yield piece
                else:
                    batch.append(piece)
        if batch:
            yield _pack_up(batch, context, headings)


def _pack_up(batch: list[Unit], context: str, headings: tuple[str, ...]) -> Packed:
    return Packed(_render(context, batch), headings, batch[0].offset, batch[-1].offset)


def _context(headings: tuple[str, ...], limit: int, count: CountTokens) -> str:
    """The headings as one line, or the innermost, or none: whichever leaves room for text."""
    room = limit * _CONTEXT_SHARE
    for line in (" > ".join(headings), headings[-1] if headings else ""):
        if line and count(line) <= room:
            return line
    return ""


def _fit(unit: Unit, context: str, limit: int, count: CountTokens) -> Iterator[Unit | TooLong]:
    """The unit itself; if too long, its clauses joined as far as they fit."""
    if count(_render(context, [unit])) <= limit:
        yield unit
        return
    if unit.kind == "row" and unit.table_head:
        spelled = Unit(_spell_row(unit), "sentence", unit.offset, unit.headings)
        yield from _fit(spelled, context, limit, count)
        return
    clauses = split_clauses(unit.text) if unit.kind != "code" else [unit.text]
    part, end = "", 0
    for clause in clauses:
        start = unit.text.index(clause, end)
        longer = part + unit.text[end:start] + clause if part else clause
        end = start + len(clause)
        if count(_render(context, [_like(unit, longer)])) <= limit:
            part = longer
            continue
        if part:
            yield _like(unit, part)
        part = clause
        tokens = count(_render(context, [_like(unit, clause)]))
        if tokens > limit:
            yield TooLong(clause, tokens)
            part = ""
    if part:
        yield _like(unit, part)


def _like(unit: Unit, text: str) -> Unit:
    return Unit(text, unit.kind, unit.offset, unit.headings, unit.table_head)


def _spell_row(unit: Unit) -> str:
    """A row too wide for its header line: each cell with its column's name."""
    names, cells = split_cells(unit.table_head), split_cells(unit.text)
    names += [""] * (len(cells) - len(names))
    pairs = zip(names, cells, strict=False)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)


def _render(context: str, units: list[Unit]) -> str:
    lines = [context] if context else []
    for (kind, head), group in groupby(units, key=lambda unit: (unit.kind, unit.table_head)):
        texts = [unit.text for unit in group]
        if kind == "sentence":
            line = texts[0]
            for text in texts[1:]:
                line += joiner(line, text) + text
            lines.append(line)
        else:
            if head:
                lines += [head, "|" + "---|" * len(split_cells(head))]
            lines += texts
    return "\n".join(lines)
