"""Reading text from pixels with RapidOCR: one engine a process, made at first use."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from tasks.extraction.blocks import measure_style
from tasks.extraction.boxes import Box, join_words, order_regions, split_rows

if TYPE_CHECKING:
    from PIL.Image import Image

# RapidOCR scales larger pictures down by itself, but only after copying them several times.
_MAX_SIDE = 4000
_MOST_ASPECT = 50


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    # Parallelism comes from worker processes; more threads here would only fight each other.
    threads = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    return RapidOCR(params={"Global.log_level": "error", **threads})


def read_boxes(image: Image, *, scale: float = 1.0) -> list[Box]:
    """Pieces of text in an image, in no particular order; places are pixels times `scale`."""
    import numpy as np

    if min(image.size) * _MOST_ASPECT < max(image.size):
        return []  # a rule: nothing of it would be left at the size that the engine takes
    if max(image.size) > _MAX_SIDE:
        scale *= max(image.size) / _MAX_SIDE
        image = image.copy()
        image.thumbnail((_MAX_SIDE, _MAX_SIDE))
    pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]
    result = _engine()(np.ascontiguousarray(pixels))
    if result.txts is None:
        return []
    found = zip(result.boxes, result.txts, strict=True)
    return even_out(
        [_box(text.strip(), corners.tolist(), scale) for corners, text in found if text.strip()]
    )


def even_out(boxes: list[Box]) -> list[Box]:
    """Boxes of about the usual height with exactly that: OCR measures a line by its letters.

    A short line may be a little larger because it is a heading.
    """
    if not boxes:
        return []
    usual = measure_style(boxes).body
    wide = 0.75 * max(box.width for box in boxes)
    return [
        replace(box, size=usual)
        if 0.75 * usual < box.height < (1.3 if box.width > wide else 1.1) * usual
        else box
        for box in boxes
    ]


def _box(text: str, corners: list[list[float]], scale: float) -> Box:
    """The upright box of a found quadrilateral (clockwise from the text's top left)."""
    xs = [x * scale for x, _ in corners]
    ys = [y * scale for _, y in corners]
    size = math.hypot(xs[3] - xs[0], ys[3] - ys[0])
    top, bottom = min(ys), max(ys)
    if bottom - top > 2 * size:
        # Text that runs upwards would otherwise fall into every row it passes.
        middle = (top + bottom) / 2
        top, bottom = middle - size / 2, middle + size / 2
    return Box(text=text, left=min(xs), top=top, right=max(xs), bottom=bottom, size=size)


def read_image(image: Image) -> list[str]:
    """Lines of text in an image, in reading order; empty if there is none.

    Pieces that stand far apart in one row (cells, labels of an axis) are parted by two spaces.
    """
    lines = []
    for region in order_regions(join_words(read_boxes(image), touching=False)):
        lines += ["  ".join(box.text for box in row) for row in split_rows(region)]
    return lines
