"""Captions into the documents' text, in place of the image marks."""

from __future__ import annotations

import re
from collections.abc import Mapping

NEUTRAL = "[figure]"
_MARK = re.compile(r"\s*\[IMAGE_REF:\s*(?P<image>[^\]]*?)\s*\]\s*")


def insert_captions(content: str, captions: Mapping[str, str]) -> str:
    """Replace each image mark by a paragraph `Figure: CAPTION`, or by `[figure]` without one.

    Args:
        content: Text with marks `[IMAGE_REF: extracted_assets/NAME]`.
        captions: Caption by image, keyed like the mark: `extracted_assets/NAME`.

    Returns:
        Text that holds no mark and no file name of an image.
    """
    pieces: list[str] = []
    last = 0
    for match in _MARK.finditer(content):
        caption = " ".join(captions.get(match["image"], "").split())
        pieces += [content[last : match.start()], f"Figure: {caption}" if caption else NEUTRAL]
        last = match.end()
    pieces.append(content[last:])
    return "\n\n".join(piece for piece in pieces if piece)
