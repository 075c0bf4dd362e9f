"""Files that are pictures: kept as they are, frames as pages, and the text of scans by OCR."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.errors import DataError
from configs.schema import ExtractionSettings
from tasks.extraction.boxes import CJK, join_words
from tasks.extraction.compose import compose
from tasks.extraction.document import Extracted, Place
from tasks.extraction.furniture import Page
from tasks.extraction.images import BROKEN, Picture, PictureStore, check_picture, first_line
from tasks.extraction.ocr import read_boxes

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDE = re.compile(f"[{CJK}]")
# Letters of running text (a Chinese character counts twice) that make a picture a scanned page.
_LONG_LINE = 40
_MUCH_TEXT = 200


def read_picture_file(path: Path, settings: ExtractionSettings, store: PictureStore) -> Extracted:
    """A mark for each frame; below it, what OCR reads where the frame is a scanned page.

    A chart or photograph with a few words has no text of its own: its caption tells them.

    Raises:
        DataError: If no frame can be read; the message is the reason to report.
    """
    data = path.read_bytes()
    count, lost = _count_frames(data, settings.max_pages)
    extracted = Extracted(content="", problems=[lost] if lost else [])
    for number, picture in enumerate(_frames(data, count), start=1):
        mark = store.add(picture, f"frame {number}")
        text, places = _read_scan(picture, number) if mark and settings.ocr else ("", [])
        extracted.num_ocr_pages += bool(text)
        box = (0.0, 0.0, float(picture.width), float(picture.height))
        below = len(mark) + 2
        moved = [Place(place.offset + below, number, place.box) for place in places]
        whole = f"{mark}\n\n{text}" if text else mark
        extracted.append_page(number, whole, [Place(0, number, box), *moved] if mark else [])
    if not store.names:  # the first frame's reason says it best
        raise DataError("; ".join(reason.removeprefix("frame 1: ") for reason in store.reasons))
    if count == 1:
        extracted.page_starts.clear()
        extracted.num_pages = 0
    return extracted


def _count_frames(data: bytes, max_pages: int) -> tuple[int, str]:
    """Frames of a TIFF that can be found, and why there are no more; one of an animation."""
    from PIL import Image

    count = 1
    try:
        with Image.open(BytesIO(data)) as image:
            while image.format == "TIFF" and count <= max_pages:
                image.seek(count)
                count += 1
    except EOFError:
        return count, ""
    except (*BROKEN, Image.DecompressionBombError) as err:
        return count, f"frame {count + 1} and what follows: broken ({first_line(err)})"
    if count > max_pages:
        raise DataError(f"more frames than extraction.max_pages {max_pages}")
    return count, ""


def _frames(data: bytes, count: int) -> Iterator[Picture]:
    if count == 1:
        yield check_picture(data)
        return
    for index in range(count):
        yield check_picture(data, frame=index)


def _read_scan(picture: Picture, number: int) -> tuple[str, list[Place]]:
    """Text and places of a picture that is a page of running text; nothing of others."""
    image = _upright(picture)
    try:
        boxes = read_boxes(image)
    except (OSError, ValueError) as err:
        raise DataError(f"frame {number}: {first_line(err)}") from err
    segments = join_words(boxes, touching=False)
    lengths = [len(box.text) + len(_WIDE.findall(box.text)) for box in segments]
    if sum(length for length in lengths if length >= _LONG_LINE) < _MUCH_TEXT:
        return "", []
    width, height = image.size
    composed = compose([Page(number, width, height, tuple(segments))])
    return composed.content, list(composed.places)


def _upright(picture: Picture) -> Image:
    """As its reader sees it: turned as the camera noted, transparency on white."""
    from PIL import Image, ImageOps

    with Image.open(BytesIO(picture.data)) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")
