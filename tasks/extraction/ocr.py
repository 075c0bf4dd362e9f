"""Reading text from pixels with RapidOCR: one engine a process, made at first use."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from tasks.extraction.boxes import Box, join_words, order_regions, split_rows

if TYPE_CHECKING:
    from PIL.Image import Image

# RapidOCR scales larger pictures down by itself, but only after copying them several times.
_MAX_SIDE = 4000


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    # Parallelism comes from worker processes; more threads here would only fight each other.
    threads = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    return RapidOCR(params={"Global.log_level": "error", **threads})


def read_boxes(image: Image) -> list[Box]:
    """Pieces of text in an image, with their places in its pixels, in no particular order."""
    import numpy as np

    if max(image.size) > _MAX_SIDE:
        image = image.copy()
        image.thumbnail((_MAX_SIDE, _MAX_SIDE))
    pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]
    result = _engine()(np.ascontiguousarray(pixels))
    if result.txts is None:
        return []
    return [
        Box(
            text=text.strip(),
            left=float(corners[:, 0].min()),
            top=float(corners[:, 1].min()),
            right=float(corners[:, 0].max()),
            bottom=float(corners[:, 1].max()),
        )
        for corners, text in zip(result.boxes, result.txts, strict=True)
        if text.strip()
    ]


def read_image(image: Image) -> list[str]:
    """Lines of text in an image, in reading order; empty if there is none.

    Pieces that stand far apart in one row (cells, labels of an axis) are parted by two spaces.
    """
    lines = []
    for region in order_regions(join_words(read_boxes(image))):
        lines += ["  ".join(box.text for box in row) for row in split_rows(region)]
    return lines
