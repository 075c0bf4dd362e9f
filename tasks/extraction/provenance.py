"""Where the pictures of a document stand: page, headings above them, box."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tasks.extraction.document import Extracted
from tasks.passages.blocks import page_of, read_units

_MARK = re.compile(r"\[IMAGE_REF: extracted_assets/([^\]]+)\]")


def describe_images(extracted: Extracted, names: Sequence[str]) -> list[dict[str, Any]]:
    """One entry a mark in the text, in its order.

    Args:
        extracted: A document's text and places.
        names: The pictures that were kept.

    Returns:
        Entries of `name`, `page` (None without pages), `heading` ("Outer > Inner") and `box`
        (points from the page's top left corner, None if it is not known).
    """
    starts = [list(start) for start in extracted.page_starts]
    boxes = {place.offset: place.box for place in extracted.places}
    found: list[dict[str, Any]] = []
    for unit in read_units(extracted.content):
        for match in _MARK.finditer(unit.text):
            if match[1] in names:
                box = boxes.get(unit.offset)
                found.append(
                    {
                        "name": match[1],
                        "page": page_of(unit.offset, starts),
                        "heading": " > ".join(unit.headings),
                        "box": [round(value, 1) for value in box] if box else None,
                    }
                )
    return found
