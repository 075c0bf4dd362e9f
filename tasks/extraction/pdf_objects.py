"""What a PDF page holds besides text, read with pypdfium2: rules of tables, and pictures.

Places are handed out in points from the page's top left corner, as the reader sees the page.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tasks.extraction.document import Rect
from tasks.extraction.images import Picture, check_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_THIN = 3.0  # points; a narrower shape is a rule
_SHORT = 8.0  # points; shorter lines are parts of letters and drawings
_MAX_SHAPES = 20_000  # a drawing with more is no table
_MAX_RULES = 1_500
_NEAR = 6.0  # points between pictures that belong together
_DRAWN_SCALE = 150 / 72
_MAX_SIDE = 4000  # pixels of a page that is drawn


def read_objects(page: Any, kinds: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """Objects of the given kinds with the matrix from their own space to the page's."""
    from pypdfium2 import PdfMatrix

    for item in page.get_objects(filter=list(kinds)):
        matrix = PdfMatrix()
        container = item.container
        while container is not None:
            matrix = matrix.multiply(container.get_matrix())
            container = container.container
        yield item, matrix


def to_view(page: Any, left: float, bottom: float, right: float, top: float) -> Rect:
    """A rectangle of PDF space as the reader sees it, rotation and crop box applied."""
    crop = page.get_cropbox()
    left, right = left - crop[0], right - crop[0]
    bottom, top = bottom - crop[1], top - crop[1]
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    turned = {
        0: (left, height - top, right, height - bottom),
        90: (bottom, left, top, right),
        180: (width - right, bottom, width - left, top),
        270: (height - top, width - right, height - bottom, width - left),
    }
    return turned[page.get_rotation()]


def read_rules(page: Any) -> list[Rect]:
    """Thin shapes and axis-parallel lines of a page: candidates for the rules of tables."""
    import pypdfium2.raw as raw

    rules: list[Rect] = []
    for count, (item, matrix) in enumerate(read_objects(page, [raw.FPDF_PAGEOBJ_PATH])):
        if count > _MAX_SHAPES:
            return []
        whole = item.get_matrix().multiply(matrix)
        points: list[tuple[float, float]] = []
        start: tuple[float, float] | None = None
        for kind, x, y, closes in _segments(item):
            point = whole.on_point(x, y)
            if kind == raw.FPDF_SEGMENT_MOVETO:
                points, start = [point], point
            elif kind == raw.FPDF_SEGMENT_LINETO and points:
                _add_rule(rules, page, points[-1], point)
                points.append(point)
            else:
                points = [point]
            if closes and start is not None:
                _add_rule(rules, page, point, start)
    return rules


def _segments(path: Any) -> Iterator[tuple[int, float, float, bool]]:
    import pypdfium2.raw as raw

    x, y = ctypes.c_float(), ctypes.c_float()
    for i in range(min(raw.FPDFPath_CountSegments(path), _MAX_SHAPES)):
        segment = raw.FPDFPath_GetPathSegment(path, i)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        kind = raw.FPDFPathSegment_GetType(segment)
        yield kind, x.value, y.value, bool(raw.FPDFPathSegment_GetClose(segment))


def _add_rule(rules: list[Rect], page: Any, a: tuple[float, float], b: tuple[float, float]) -> None:
    width, height = abs(a[0] - b[0]), abs(a[1] - b[1])
    if min(width, height) < 1.0 and max(width, height) >= _SHORT:
        rect = (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        rules.append(to_view(page, *rect))


def find_grids(rules: Sequence[Rect]) -> list[tuple[list[float], list[float]]]:
    """Grids that rules form: positions of vertical and of horizontal rules, ascending.

    A grid has at least two rows and two columns; a rule belongs to it if it touches another one.
    """
    groups: list[list[Rect]] = []
    rules = list(dict.fromkeys(rules))
    if len(rules) > _MAX_RULES:
        return []
    for rule in rules:
        touched = [g for g in groups if any(_touch(rule, other) for other in g)]
        groups = [g for g in groups if g not in touched]
        groups.append([rule, *(r for g in touched for r in g)])
    grids = []
    for group in groups:
        upright = [r for r in group if _is_vertical(r)]
        level = [r for r in group if not _is_vertical(r)]
        if not upright or not level:
            continue
        # Tables are often open at their sides: the ends of the rules close them.
        xs = _positions([r[0] for r in upright] + [x for r in level for x in (r[0], r[2])])
        ys = _positions([r[1] for r in level] + [y for r in upright for y in (r[1], r[3])])
        if len(xs) >= 3 and len(ys) >= 3:
            grids.append((xs, ys))
    return grids


def _is_vertical(rule: Rect) -> bool:
    return rule[3] - rule[1] > rule[2] - rule[0]


def _touch(a: Rect, b: Rect) -> bool:
    return (
        a[0] <= b[2] + _THIN
        and b[0] <= a[2] + _THIN
        and a[1] <= b[3] + _THIN
        and b[1] <= a[3] + _THIN
    )


def _positions(values: Sequence[float]) -> list[float]:
    """Distinct positions: values closer than a thin shape's width are one."""
    positions: list[float] = []
    for value in sorted(values):
        if not positions or value - positions[-1] > _THIN + 1.0:
            positions.append(value)
    return positions


def find_pictures(page: Any) -> Iterator[tuple[Any, Rect]]:
    """Picture objects of a page, undecoded, with their places."""
    import pypdfium2.raw as raw

    for item, matrix in read_objects(page, [raw.FPDF_PAGEOBJ_IMAGE]):
        corners = [matrix.on_point(x, y) for x, y in item.get_quad_points()]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        yield item, to_view(page, min(xs), min(ys), max(xs), max(ys))


def read_pictures(page: Any, max_pixels: int) -> Iterator[tuple[Rect, Picture]]:
    """Pictures of a page, with their places; those that cannot be read carry a reason."""
    import pypdfium2 as pdfium

    for item, place in find_pictures(page):
        try:
            yield place, _read_picture(item, max_pixels)
        except (pdfium.PdfiumError, OSError, ValueError, ZeroDivisionError) as err:
            yield place, Picture(reason=f"cannot be decoded ({err})")


def _read_picture(item: Any, max_pixels: int) -> Picture:
    import pypdfium2.raw as raw

    width, height = item.get_px_size()
    if width * height > max_pixels:
        return Picture(reason=f"{width} x {height} pixels are more than {max_pixels:,}")
    plain = not raw.FPDFPageObj_HasTransparency(item)
    colour = item.get_metadata().colorspace
    if plain and item.get_filters() == ["DCTDecode"] and colour != raw.FPDF_COLORSPACE_DEVICECMYK:
        return check_picture(bytes(item.get_data()))
    image = item.get_bitmap(render=True).to_pil()
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Picture(data=buffer.getvalue(), width=width, height=height)


def join_pictures(
    page: Any, pictures: Sequence[tuple[Rect, Picture]], texts: Sequence[Rect]
) -> list[tuple[Rect, Picture]]:
    """Pictures of a page, those side by side as one: strips of a scan, parts of a figure.

    A joined picture is drawn from the page, so that the lines and labels between its parts stay.
    Parts stay apart where running text (`texts`) stands between them.
    """
    groups: list[list[tuple[Rect, Picture]]] = []
    for place, picture in pictures:
        near = [g for g in groups if any(_is_near(place, other) for other, _ in g)]
        groups = [g for g in groups if g not in near]
        groups.append([*(entry for g in near for entry in g), (place, picture)])
    joined: list[tuple[Rect, Picture]] = []
    for group in groups:
        readable = [entry for entry in group if not entry[1].reason]
        joined += [entry for entry in group if entry[1].reason]
        union = _union([place for place, _ in readable]) if len(readable) > 1 else None
        if union is None or any(_overlap(union, text) for text in texts):
            joined += readable
        else:
            joined.append((union, _draw(page, union)))
    return joined


def _union(places: Sequence[Rect]) -> Rect:
    return (
        min(p[0] for p in places),
        min(p[1] for p in places),
        max(p[2] for p in places),
        max(p[3] for p in places),
    )


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _is_near(a: Rect, b: Rect) -> bool:
    return (
        a[0] <= b[2] + _NEAR
        and b[0] <= a[2] + _NEAR
        and a[1] <= b[3] + _NEAR
        and b[1] <= a[3] + _NEAR
    )


def _draw(page: Any, place: Rect) -> Picture:
    image, scale = draw(page, _DRAWN_SCALE)
    box = [round(value * scale) for value in place]
    left, top = max(box[0] - 2, 0), max(box[1] - 2, 0)
    image = image.crop((left, top, min(box[2] + 2, image.width), min(box[3] + 2, image.height)))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Picture(data=buffer.getvalue(), width=image.width, height=image.height)


def draw(page: Any, scale: float) -> tuple[Image, float]:
    """A page as an image, and its real scale: pages may claim to be as large as a house."""
    scale = min(scale, _MAX_SIDE / max(page.get_size()))
    return page.render(scale=scale).to_pil(), scale
