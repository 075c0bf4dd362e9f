"""Small plots as inline SVG: they follow the page's colours and stay readable on a phone.

Bars use percentages and keep their text at its size; curves are stretched to the page's width, with
their labels left to the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

_ROW, _LABEL, _BAR = 34, 13, 10  # pixels: height of a row, baseline of its label, height of a bar
_WIDTH, _HEIGHT = 600.0, 160.0  # units of a curve before it is stretched


class Bar(NamedTuple):
    """A labelled value between 0 and 1 with its interval, and the style class of its colour."""

    label: str
    value: float
    low: float
    high: float
    style: str


def bar_chart(bars: Sequence[Bar], title: str) -> Markup:
    """Horizontal bars, each under its label, with the interval as a thin line across the end."""
    parts = []
    for place, bar in enumerate(bars):
        top = place * _ROW
        middle = top + _LABEL + 5 + _BAR / 2
        words = f"{bar.value:.2f}"
        if bar.high > bar.low:
            words += f" [{bar.low:.2f}, {bar.high:.2f}]"
        parts.append(
            f'<text x="0" y="{top + _LABEL}">{escape(bar.label)}</text>'
            f'<text x="100%" y="{top + _LABEL}" text-anchor="end">{words}</text>'
            f'<rect class="track" x="0" y="{middle - _BAR / 2}" width="100%" height="{_BAR}"/>'
            f'<rect class="{escape(bar.style)}" x="0" y="{middle - _BAR / 2}" '
            f'width="{100 * bar.value:.2f}%" height="{_BAR}"/>'
        )
        if bar.high > bar.low:
            parts.append(
                f'<line class="whisker" x1="{100 * bar.low:.2f}%" x2="{100 * bar.high:.2f}%" '
                f'y1="{middle}" y2="{middle}"/>'
            )
    return Markup(
        f'<svg class="bars" role="img" aria-label="{escape(title)}" width="100%" '
        f'height="{len(bars) * _ROW}">{"".join(parts)}</svg>'
    )


def curve_chart(points: Sequence[Sequence[float]], title: str) -> Markup:
    """A curve from (x, y) points; y runs from 0 to the largest value."""
    if not points:
        return Markup("")
    first, last = points[0][0], points[-1][0]
    top = max(y for _, y in points) or 1.0
    places = " ".join(
        f"{_WIDTH * (x - first) / max(last - first, 1):.1f},{_HEIGHT * (1 - y / top):.1f}"
        for x, y in points
    )
    grid = "".join(
        f'<line class="grid" x1="0" x2="{_WIDTH}" y1="{_HEIGHT * part}" y2="{_HEIGHT * part}"/>'
        for part in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return Markup(
        f'<svg class="curve" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" preserveAspectRatio="none">{grid}'
        f'<polyline points="{places}"/></svg>'
    )
