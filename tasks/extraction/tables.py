"""Tables that only the places of their cells show, and tables drawn with rules. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

from tasks.extraction.boxes import Box, join_row, join_text, join_words, split_rows, wrap_text

# The name of a bullet's glyph, where its font has no map to characters.
_GLYPH = re.compile(r"\bSM\d{6}\b")
_MARKER = re.compile(r"^([^\w\s]|\(?\w{1,3}[.)]|[①-⑳]|\d{1,2}|SM\d{6})$")


def find_tables(rows: Sequence[list[Box]]) -> list[Box | list[Box]]:
    """Rows of a region, with each run of aligned rows replaced by one table box."""
    result: list[Box | list[Box]] = []
    i = 0
    while i < len(rows):
        end = _run_end(rows, i)
        table = _to_table(rows[i:end]) if end - i >= 2 else None
        if table is None:
            result.append(rows[i])
            i += 1
        else:
            result.append(table)
            i = end
    return result


def _run_end(rows: Sequence[list[Box]], start: int) -> int:
    """Index after the last row of a run that could be a table beginning at `start`."""
    end = start
    if len(_cells(rows[start])) < 2:
        return start
    for i in range(start, len(rows)):
        if i > start and _gap(rows[i - 1], rows[i]) > 2.5 * _height(rows[i]):
            break
        if all(box.mono for box in rows[i]):
            break  # a program keeps its lines
        if len(_cells(rows[i])) >= 2:
            end = i + 1
        elif i - end >= 2:  # a cell of several lines may stand alone, running text goes on
            break
    return end


def _cells(row: Sequence[Box]) -> list[Box]:
    """Segments of a row, without a list's marker that stands apart from its text."""
    if len(row) > 1 and _MARKER.match(row[0].text):
        return list(row[1:]) if len(row) == 2 else list(row)
    return list(row)


def _to_table(rows: Sequence[list[Box]]) -> Box | None:
    """A run of rows as a table, or None where the cells do not stand in columns."""
    full = [row for row in rows if len(_cells(row)) >= 2]
    boxes = [b for row in rows for b in row]
    columns = find_columns(boxes)
    filled = sum(len(row) for row in full)
    if len(columns) < 2 or len(full) < 2 or filled < 0.6 * len(columns) * len(full):
        return None
    if len(full) < 3 and len(columns) < 3:
        return None
    across = sum(len(row) == 1 and _num_crossed(row[0], columns) > 1 for row in rows)
    if across > len(full) // 3:
        return None  # running text, some lines of which have wide spaces
    if len(columns) == 2 and all(_MARKER.match(row[0].text) for row in full):
        return None
    grid: list[list[str]] = []
    for row in _join_split_rows(rows, columns):
        cells = [""] * len(columns)
        for box in row:
            index = column_of(box, columns)
            cells[index] = join_text(cells[index], box.text)
        grid.append(cells)
    return Box(
        text=to_markdown(grid),
        left=min(b.left for b in boxes),
        top=min(b.top for b in boxes),
        right=max(b.right for b in boxes),
        bottom=max(b.bottom for b in boxes),
        kind="table",
    )


def find_columns(boxes: Sequence[Box]) -> list[tuple[float, float]]:
    """Horizontal extents of columns, left to right; cells that span several do not join them."""
    columns: list[tuple[float, float]] = []
    for box in sorted(boxes, key=lambda b: b.width):
        hits = [c for c in columns if c[0] < box.right and c[1] > box.left]
        if not hits:
            columns.append((box.left, box.right))
        elif len(hits) == 1:
            columns.remove(hits[0])
            columns.append((min(hits[0][0], box.left), max(hits[0][1], box.right)))
    return sorted(columns)


def column_of(box: Box, columns: Sequence[tuple[float, float]]) -> int:
    """Index of the column that a box overlaps most, the left one of equals."""
    overlaps = [min(box.right, right) - max(box.left, left) for left, right in columns]
    return overlaps.index(max(overlaps))


def _num_crossed(box: Box, columns: Sequence[tuple[float, float]]) -> int:
    return sum(min(box.right, right) > max(box.left, left) for left, right in columns)


def _join_split_rows(
    rows: Sequence[list[Box]], columns: Sequence[tuple[float, float]]
) -> list[list[Box]]:
    """Put together what one row of the table holds: cells set lower, cells of several lines."""
    joined: list[list[Box]] = []
    for row in rows:
        if joined and _belongs(joined[-1], row, columns):
            joined[-1] = joined[-1] + row
        else:
            joined.append(list(row))
    return joined


def _belongs(
    above: Sequence[Box], row: Sequence[Box], columns: Sequence[tuple[float, float]]
) -> bool:
    used = {column_of(b, columns) for b in above}
    own = {column_of(b, columns) for b in row}
    gap = min(b.top for b in row) - max(b.bottom for b in above)
    if gap < -0.2 * _height(row) and not used & own:
        return True  # vertically centred beside several lines
    return 0 not in own and len(own) < len(columns) and gap < 0.35 * _height(row)


def _gap(above: Sequence[Box], below: Sequence[Box]) -> float:
    return min(b.top for b in below) - max(b.bottom for b in above)


def _height(row: Sequence[Box]) -> float:
    return median(b.height for b in row)


def to_markdown(grid: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head, empty rows and columns are left out."""
    rows = [[_clean(cell) for cell in row] for row in grid]
    rows = [row for row in rows if any(row)]
    if not rows:
        return ""
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
    lines = ["| " + " | ".join(row[i] for i in kept) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(kept))
    return "\n".join(lines)


def _clean(cell: str) -> str:
    return _GLYPH.sub("•", " ".join(cell.split())).replace("|", "\\|")


def grid_to_table(
    xs: Sequence[float], ys: Sequence[float], words: Sequence[Box]
) -> tuple[Box, list[Box]] | None:
    """Words inside a ruled grid as a table, and the words it used.

    Args:
        xs: Positions of the vertical rules, ascending.
        ys: Positions of the horizontal rules, ascending.
        words: Words of the page.

    Returns:
        None if the grid holds too little to be a table.
    """
    inside = [
        w for w in words if xs[0] < (w.left + w.right) / 2 < xs[-1] and ys[0] < w.middle < ys[-1]
    ]
    cells: dict[tuple[int, int], list[Box]] = {}
    for word in inside:
        row = sum(y <= word.middle for y in ys) - 1
        column = sum(x <= (word.left + word.right) / 2 for x in xs) - 1
        cells.setdefault((row, column), []).append(word)
    if len({r for r, _ in cells}) < 2 or len({c for _, c in cells}) < 2 or len(cells) < 4:
        return None
    grid: list[list[str]] = []
    for r in range(len(ys) - 1):
        lines = [_cell_lines(cells.get((r, c), [])) for c in range(len(xs) - 1)]
        grid += _split_ruled_row(lines)
    table = Box(to_markdown(grid), xs[0], ys[0], xs[-1], ys[-1], kind="table")
    return table, inside


def _cell_lines(words: Sequence[Box]) -> list[Box]:
    return [join_row(row) for row in split_rows(join_words(words))] if words else []


def _split_ruled_row(lines: Sequence[Sequence[Box]]) -> list[list[str]]:
    """Rows of text between two rules: one, unless most cells agree on several aligned lines."""
    tall = [cell for cell in lines if len(cell) > 1]
    filled = sum(bool(cell) for cell in lines)
    count = len(tall[0]) if tall else 1
    alike = all(
        len(cell) == count
        and all(
            abs(a.middle - b.middle) < 0.4 * a.height for a, b in zip(cell, tall[0], strict=True)
        )
        for cell in tall
    )
    if len(tall) >= 3 and 2 * len(tall) >= filled and alike:
        short = [cell[0].text if cell else "" for cell in lines]
        return [
            [
                cell[i].text if len(cell) > 1 else (short[c] if i == 0 else "")
                for c, cell in enumerate(lines)
            ]
            for i in range(count)
        ]
    texts = []
    for cell in lines:
        text = ""
        for line in cell:
            text = wrap_text(text, line.text)
        texts.append(text)
    return [texts]
