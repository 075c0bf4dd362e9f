"""The map of documents and memories as inline SVG, in the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from clara_model.inspection import RepresentationMap

_SIZE, _MARGIN = 400.0, 20.0


def scatter(found: RepresentationMap, names: Sequence[str], title: str) -> Markup:
    """Documents as discs, their memories as squares, a line from each document to its memory.

    Both axes have the same scale: distances in the figure are distances of the projection.

    Args:
        found: Coordinates.
        names: One a document, shown where the pointer rests.
        title: What the figure shows, for those who do not see it.
    """
    points = [*found.documents, *found.memories]
    left, low = (min(point[axis] for point in points) for axis in (0, 1))
    right, high = (max(point[axis] for point in points) for axis in (0, 1))
    scale = (_SIZE - 2 * _MARGIN) / (max(right - left, high - low) or 1.0)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = _SIZE / 2 + (point[0] - (left + right) / 2) * scale
        y = _SIZE / 2 - (point[1] - (low + high) / 2) * scale
        return x, y

    lines, marks = [], []
    pairs = zip(found.documents, found.memories, names, strict=True)
    for number, (document, memory, name) in enumerate(pairs, start=1):
        (x1, y1), (x2, y2) = place(document), place(memory)
        lines.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
        words = escape(f"{number}. {name}")
        marks.append(
            f'<circle class="document-mark" cx="{x1:.1f}" cy="{y1:.1f}" r="5">'
            f"<title>document {words}</title></circle>"
            f'<rect class="memory-mark" x="{x2 - 4.5:.1f}" y="{y2 - 4.5:.1f}" width="9" height="9">'
            f"<title>memory {words}</title></rect>"
        )
    return Markup(
        f'<svg class="map" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {_SIZE:.0f} {_SIZE:.0f}">{"".join(lines)}{"".join(marks)}</svg>'
    )
