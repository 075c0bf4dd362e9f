"""Small plots as inline SVG: they follow the page's colours and stay readable on a phone.

Bars use percentages and keep their text at its size; curves are stretched to the page's width, with
their labels left to the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def bar_chart(bars: Sequence[Bar], title: str, *, top: float = 1.0) -> Markup:
    """Horizontal bars, each under its label, with the interval as a thin line across the end.

    Args:
        bars: From above.
        title: Read out where the chart cannot be seen.
        top: The value whose bar is as wide as the page.
    """
    parts = []
    for place, bar in enumerate(bars):
        y = place * _ROW
        middle = y + _LABEL + 5 + _BAR / 2
        words = f"{bar.value:.2f}"
        if bar.high > bar.low:
            words += f" [{bar.low:.2f}, {bar.high:.2f}]"
        parts.append(
            f'<text x="0" y="{y + _LABEL}">{escape(bar.label)}</text>'
            f'<text x="100%" y="{y + _LABEL}" text-anchor="end">{words}</text>'
            f'<rect class="track" x="0" y="{middle - _BAR / 2}" width="100%" height="{_BAR}"/>'
            f'<rect class="{escape(bar.style)}" x="0" y="{middle - _BAR / 2}" '
            f'width="{100 * bar.value / top:.2f}%" height="{_BAR}"/>'
        )
        if bar.high > bar.low:
            parts.append(
                f'<line class="whisker" x1="{100 * bar.low / top:.2f}%" '
                f'x2="{100 * bar.high / top:.2f}%" y1="{middle}" y2="{middle}"/>'
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


class Line(NamedTuple):
    """A named line: a value between 0 and 1 with its interval at each place, None for a gap."""

    label: str
    values: Sequence[Mapping[str, float] | None]
    style: str


def line_chart(
    lines: Sequence[Line],
    labels: Sequence[str],
    title: str,
    *,
    top: float = 1.0,
    spread: bool = True,
) -> Markup:
    """Lines over evenly spaced places, with the intervals as thin upright strokes.

    Args:
        lines: In the order in which they are drawn.
        labels: Of the places.
        title: Read out where the chart cannot be seen.
        top: Upper end of the axis.
        spread: Whether intervals are drawn.
    """
    left, bottom, step = 62.0, 300.0, 620.0 / max(len(labels), 1)
    height = bottom / top
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom * (1 - share) + 14
        parts.append(f'<line class="grid" x1="{left}" x2="{left + 620}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 6}" text-anchor="end">{share * top:g}</text>')
    for place, label in enumerate(labels):
        x = left + step * (place + 0.5)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 40}" text-anchor="middle">{escape(label)}</text>'
        )
    for number, line in enumerate(lines):
        # Beside each other, so that no interval hides another.
        shift = 5 * (number - (len(lines) - 1) / 2) if spread else 0.0
        points = [
            (left + step * (place + 0.5) + shift, value)
            for place, value in enumerate(line.values)
            if value is not None
        ]
        base = bottom + 14
        places = " ".join(f"{x:.1f},{base - height * v['value']:.1f}" for x, v in points)
        marks = "".join(
            f'<circle cx="{x:.1f}" cy="{base - height * v["value"]:.1f}" r="4"/>' for x, v in points
        )
        if spread:
            marks += "".join(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{base - height * v["low"]:.1f}" '
                f'y2="{base - height * v["high"]:.1f}"/>'
                for x, v in points
            )
        parts.append(
            f'<g class="line {escape(line.style)}"><title>{escape(line.label)}</title>'
            f'<polyline points="{places}"/>{marks}</g>'
        )
    return Markup(
        f'<svg class="lines" role="img" aria-label="{escape(title)}" viewBox="0 0 700 352">'
        f"{''.join(parts)}</svg>"
    )
