"""Captions into the documents' text, in place of the image marks."""

from __future__ import annotations

import re
from collections.abc import Mapping

NEUTRAL = "[figure]"
_MARK = re.compile(r"[ \t]*\[IMAGE_REF:\s*(?P<image>[^\]]*?)\s*\][ \t]*")


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
        before = content[last : match.start()]
        pieces += [before, _gap(before, at_edge=not pieces and not before)]
        pieces.append(f"Figure: {caption}" if caption else NEUTRAL)
        last = match.end()
        after = content[last : last + 2]
        pieces.append("\n" * (2 - _leading_breaks(after)) if after else "")
    pieces.append(content[last:])
    return "".join(pieces)


def _gap(before: str, *, at_edge: bool) -> str:
    """Line breaks missing between the text before a mark and the paragraph to come."""
    if at_edge or not before:
        return ""
    return "\n" * (2 - min(2, len(before) - len(before.rstrip("\n"))))


def _leading_breaks(text: str) -> int:
    return min(2, len(text) - len(text.lstrip("\n")))
