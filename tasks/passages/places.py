"""Where passages stand on their pages, also after captions have moved the text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from tasks.captioning.insert import insert_captions
from tasks.storage import Record

# Offset of a block in the text, its page, and its box (left, top, right, bottom) where known.
Place = Sequence[float]


def insert_and_move(
    document: Record, captions: Mapping[str, str]
) -> tuple[str, list[list[int]], list[list[float]]]:
    """A document's text with captions in place of its marks; its page starts and places, moved.

    Args:
        document: A row of raw_knowledge.jsonl.
        captions: Caption by image.
    """
    content = document["content"]
    starts, places = document.get("page_starts", []), document.get("places", [])
    cuts = sorted({start for _, start in starts} | {int(place[0]) for place in places})
    cuts = [cut for cut in cuts if 0 < cut < len(content)]
    text, moved = "", {0: 0}
    for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        moved[begin] = len(text)
        text += _insert(content[begin:end], captions)
    moved[len(content)] = len(text)
    return (
        text,
        [[page, moved[start]] for page, start in starts],
        [[moved[int(place[0])], *place[1:]] for place in places],
    )


def _insert(part: str, captions: Mapping[str, str]) -> str:
    """Captions into one part; blank lines at its ends, which go with a mark, come back."""
    text = insert_captions(part, captions)
    before = "\n\n" if part[:1].isspace() and not text[:1].isspace() else ""
    after = "\n\n" if part[-1:].isspace() and not text[-1:].isspace() else ""
    return before + text + after


def box_of(first: int, last: int, page: int | None, places: Sequence[Place]) -> list[float] | None:
    """The box around the blocks of one page from one offset to another; None if it is not known.

    Args:
        first: Offset of a passage's first unit.
        last: Offset of its last one.
        page: The page on which it begins; None in a file of one picture, which has one place.
        places: Ascending by offset.

    Returns:
        Left, top, right and bottom in points (of a picture file: pixels) from the page's top left
        corner.
    """
    offsets = [place[0] for place in places]
    start = max(bisect_right(offsets, first) - 1, 0)
    inside = [
        place
        for place in places[start : bisect_right(offsets, last)]
        if page is None or place[1] == page
    ]
    boxes = [place[2:6] for place in inside if len(place) == 6]
    if not boxes or len(inside[0]) < 6:
        return None
    left, top, right, bottom = zip(*boxes, strict=True)
    return [min(left), min(top), max(right), max(bottom)]
