"""Plots of counts as inline SVG: they follow the page's colours and fit a phone.

Widths are percentages and text keeps its size, so nothing is scaled out of shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

_ROW, _LABEL, _BAR = 36, 14, 9  # pixels: height of a row, baseline of its label, height of a bar
_HEIGHT = 110  # pixels of a histogram
_LONGEST = 44  # characters of a label; a phone shows no more beside the number


def count_bars(
    counts: Mapping[str, Mapping[str, int]], parts: Mapping[str, str], title: str
) -> Markup:
    """Horizontal bars under their labels, cut into parts; the longest fills the width.

    Args:
        counts: Per label, the count of each part.
        parts: Parts in the order in which they are stacked, each with its style class.
        title: For screen readers.
    """
    longest = max((sum(row.values()) for row in counts.values()), default=0) or 1
    drawn = []
    for place, (label, row) in enumerate(counts.items()):
        top = place * _ROW
        bar = top + _LABEL + 5
        drawn.append(
            f'<text x="0" y="{top + _LABEL}">{escape(_cut(label))}</text>'
            f'<text x="100%" y="{top + _LABEL}" text-anchor="end">{sum(row.values()):,}</text>'
            f'<rect class="track" x="0" y="{bar}" width="100%" height="{_BAR}"/>'
        )
        start = 0.0
        for part, style in parts.items():
            width = 100 * row.get(part, 0) / longest
            if width:
                drawn.append(
                    f'<rect class="{style}" x="{start:.3f}%" y="{bar}" width="{width:.3f}%" '
                    f'height="{_BAR}"><title>{escape(label)}, {escape(part)}: {row[part]:,}'
                    "</title></rect>"
                )
            start += width
    return Markup(
        f'<svg class="bars" role="img" aria-label="{escape(title)}" width="100%" '
        f'height="{len(counts) * _ROW}">{"".join(drawn)}</svg>'
    )


def histogram(counts: Sequence[int], labels: Sequence[str], title: str) -> Markup:
    """Upright bars side by side; labels are shown by pointing at a bar, ends stand on the page."""
    highest = max(counts, default=0) or 1
    step = 100 / max(len(counts), 1)
    bars = "".join(
        f'<rect class="part-0" x="{place * step + step * 0.06:.3f}%" '
        f'y="{_HEIGHT * (1 - count / highest):.1f}" width="{step * 0.88:.3f}%" '
        f'height="{_HEIGHT * count / highest:.1f}"><title>{escape(label)}: {count:,}</title></rect>'
        for place, (count, label) in enumerate(zip(counts, labels, strict=True))
    )
    return Markup(
        f'<svg class="histogram" role="img" aria-label="{escape(title)}" width="100%" '
        f'height="{_HEIGHT + 1}">{bars}'
        f'<line x1="0" x2="100%" y1="{_HEIGHT + 0.5}" y2="{_HEIGHT + 0.5}"/></svg>'
    )


def _cut(label: str) -> str:
    """A label that leaves room for its number; of paths, the end tells more."""
    if len(label) <= _LONGEST:
        return label
    return f"…{label[-_LONGEST:]}" if " " not in label else f"{label[:_LONGEST]}…"
