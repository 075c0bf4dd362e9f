"""Curves as SVG files of their own, readable on light and on dark pages.

Charts inside our HTML reports are elsewhere: those take the page's colours, these bring their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import escape

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 42, 52
_TICKS = 5
_LEGEND_ROW = 18

# Told apart by brightness as well as by colour; each has a light and a dark form.
_COLOURS = (
    ("#0b62a4", "#6cb6ff"),
    ("#c2410c", "#ffa657"),
    ("#15803d", "#7ee787"),
    ("#7e22ce", "#d2a8ff"),
    ("#57606a", "#b1bac4"),
)
_DASHES = ("", "7 4", "2 4", "9 3 2 3", "4 2")


@dataclass(frozen=True)
class Curve:
    """A named line.

    Args:
        label: Its name.
        points: (x, y), by rising x.
        bounds: Interval (low, high) of each point, or nothing.
    """

    label: str
    points: Sequence[tuple[float, float]]
    bounds: Sequence[tuple[float, float]] = ()


def draw_curves(
    curves: Sequence[Curve],
    *,
    title: str,
    x_label: str,
    y_label: str,
    top: float | None = None,
    x_ticks: Sequence[float] = (),
) -> str:
    """A chart with axes, labels and a legend, as the text of an SVG file.

    Args:
        curves: At least one with points.
        title: Stands above, and is read aloud.
        x_label: What runs to the right.
        y_label: What runs upwards, from 0.
        top: Upper end of y; None for the largest value.
        x_ticks: Values of x that are named, on a logarithmic axis; nothing for an even one.
    """
    xs = [x for curve in curves for x, _ in curve.points]
    top = top or _round_up(max(y for curve in curves for _, y in curve.points))
    scale = _Scale(min(xs), max(xs), top, is_log=bool(x_ticks))
    parts = [
        f'<text class="title" x="{_LEFT}" y="20">{escape(title)}</text>',
        *_axes(scale, x_label, y_label, x_ticks or _even_ticks(min(xs), max(xs))),
    ]
    for number, curve in enumerate(curves):
        parts += _line(curve, number, scale)
    parts += _legend(curves)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{_style()}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


@dataclass(frozen=True)
class _Scale:
    first: float
    last: float
    top: float
    is_log: bool

    def x(self, value: float) -> float:
        first, last = self.first, self.last
        if self.is_log:
            value, first, last = math.log(value), math.log(first), math.log(last)
        share = (value - first) / (last - first) if last > first else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        inside = min(max(value, 0.0), self.top) / self.top
        return _HEIGHT - _BOTTOM - inside * (_HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale, x_label: str, y_label: str, x_ticks: Sequence[float]) -> list[str]:
    parts = []
    for tick in range(_TICKS + 1):
        value = scale.top * tick / _TICKS
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
                     f'y2="{y:.1f}"/>')  # fmt: skip
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
                     f"{value:.3g}</text>")  # fmt: skip
    base = _HEIGHT - _BOTTOM
    parts += [
        f'<text class="tick" x="{scale.x(value):.1f}" y="{base + 18}" text-anchor="middle">'
        f"{value:g}</text>"
        for value in x_ticks
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    parts.append(
        f'<text class="tick" transform="translate(14 {(_TOP + base) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>'
    )
    return parts


def _line(curve: Curve, number: int, scale: _Scale) -> list[str]:
    places = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in curve.points)
    colour = f"c{number % len(_COLOURS)}"
    parts = [f'<polyline class="{colour}" points="{places}"/>']
    for (x, y), (low, high) in zip(curve.points, curve.bounds, strict=False):
        parts.append(f'<line class="{colour}" x1="{scale.x(x):.1f}" x2="{scale.x(x):.1f}" '
                     f'y1="{scale.y(low):.1f}" y2="{scale.y(high):.1f}"/>')  # fmt: skip
        parts.append(
            f'<circle class="{colour}" cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="4"/>'
        )
    return parts


def _legend(curves: Sequence[Curve]) -> list[str]:
    if len(curves) < 2:
        return []
    parts = []
    x = _WIDTH - _RIGHT - 190
    for number, curve in enumerate(curves):
        y = _TOP + 10 + number * _LEGEND_ROW
        colour = f"c{number % len(_COLOURS)}"
        parts.append(f'<line class="{colour}" x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{x + 33}" y="{y + 4}">{escape(curve.label)}</text>')
    return parts


def _style() -> str:
    def colours(which: int) -> str:
        return "".join(
            f".c{number}{{stroke:{pair[which]};fill:none;stroke-width:2;"
            f"stroke-dasharray:{_DASHES[number] or 'none'}}}circle.c{number}{{fill:{pair[which]}}}"
            for number, pair in enumerate(_COLOURS)
        )

    return (
        "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:15px}"
        ".grid{stroke:#d0d7de;stroke-width:1}" + colours(0) + "@media (prefers-color-scheme:dark){"
        "text{fill:#e6edf3}.grid{stroke:#3d444d}" + colours(1) + "}"
    )


def _even_ticks(first: float, last: float) -> list[float]:
    step = _round_up(max(last - first, 1.0) / _TICKS)
    ticks = [step * number for number in range(int(last // step) + 1)]
    return [tick for tick in ticks if first <= tick <= last] or [first]


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 and 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * part for part in (1, 2, 2.5, 5, 10) if value <= power * part * (1 + 1e-9))
