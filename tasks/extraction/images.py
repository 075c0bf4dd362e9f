"""Pictures on their way into the workspace: checked, named by content, written once."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 60_000_000  # a larger picture is set aside before it is decoded

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tiff", "WEBP": ".webp", "GIF": ".gif"}
_RECURRING = 3  # a picture seen so often in one document is decoration
# What Pillow raises on files that do not hold what they promise.
BROKEN = (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error)
_ADDRESS = re.compile(r" <[\w.]+ object at 0x[0-9a-f]+>")
_WMF = (b"\xd7\xcd\xc6\x9a", b"\x01\x00\x09\x00", b"\x02\x00\x09\x00")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes and size in pixels, or the reason why there are none."""

    data: bytes = b""
    width: int = 0
    height: int = 0
    reason: str = ""


def mark(name: str) -> str:
    """The line that stands for an image in a document's text."""
    return f"[IMAGE_REF: extracted_assets/{name}]"


def check_picture(data: bytes, frame: int | None = None) -> Picture:
    """Decode a picture's bytes once to see that they hold what they promise.

    Args:
        data: The bytes of a picture file.
        frame: Of a file with several frames, the one to take out, as PNG.

    Returns:
        The picture, with a reason and without data where it cannot be read.
    """
    from PIL import Image

    if kind := _vector_kind(data):
        return Picture(reason=f"{kind} vector graphics cannot be read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data)) as image:
                if frame is not None:
                    image.seek(frame)
                width, height = image.size
                if width * height > MAX_PIXELS:
                    return Picture(reason=f"{width} x {height} pixels are more than {MAX_PIXELS:,}")
                if image.format not in _SUFFIXES and image.format != "BMP":
                    return Picture(reason=f"{image.format} pictures cannot be read")
                image.load()
                if frame is not None:
                    data = _to_png(image)
    except Image.DecompressionBombError:  # Pillow's own limit: it does not even tell the size
        return Picture(reason=f"its pixels are more than {MAX_PIXELS:,}")
    except BROKEN as err:
        return Picture(reason=f"broken or not a picture ({first_line(err)})")
    return Picture(data=data, width=width, height=height)


def _vector_kind(data: bytes) -> str:
    if data[:4] == b"\x01\x00\x00\x00" and data[40:44] == b" EMF":
        return "EMF"
    return "WMF" if data[:4] in _WMF else ""


def _to_png(image: Image) -> bytes:
    buffer = BytesIO()
    kept = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else None
    (kept or image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def first_line(err: Exception) -> str:
    """What went wrong, in one line without addresses in memory."""
    text = str(err).strip().partition("\n")[0]
    return _ADDRESS.sub("", text) or type(err).__name__


@dataclass(slots=True)
class PictureStore:
    """The pictures of one document: written to a folder once each, others set aside.

    Args:
        folder: Where pictures go.
        stem: Beginning of their names, from the document's name.
        min_side: Pixels; smaller pictures are decoration.
    """

    folder: Path
    stem: str
    min_side: int
    names: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    num_small: int = 0

    def add(self, picture: Picture, where: str) -> str:
        """Keep a picture; returns its mark, or an empty string where it is set aside."""
        if picture.reason:
            self.reasons.append(f"{where}: {picture.reason}")
            return ""
        if min(picture.width, picture.height) < self.min_side:
            self.num_small += 1
            return ""
        name = save_picture(self.folder, self.stem, picture.data)
        if name not in self.names:
            self.names.append(name)
        return mark(name)

    def drop(self, text: str) -> None:
        """Take back the picture of a mark; its file goes with the other orphans of the run."""
        self.names = [name for name in self.names if mark(name) != text]
        self.reasons.append(
            f"{text[text.rindex('/') + 1 : -1]}: recurs in the document: decoration"
        )

    def all_reasons(self) -> list[str]:
        """Why pictures were set aside; decorations in one sentence."""
        if not self.num_small:
            return list(self.reasons)
        noun = "picture" if self.num_small == 1 else "pictures"
        note = f"{self.num_small} {noun} with a side under {self.min_side} pixels: decoration"
        return [*self.reasons, note]


def find_recurring(marks: Iterable[str]) -> set[str]:
    """Marks that occur on and on in one document: logos, badges of headings, bullets."""
    counts = Counter(mark for mark in marks if mark)
    return {mark for mark, count in counts.items() if count >= _RECURRING}


def save_picture(folder: Path, stem: str, data: bytes) -> str:
    """Write a picture under a name made of its document's stem and its content's hash.

    Returns:
        The name: the same content under the same stem is the same file, other content another.
    """
    from PIL import Image

    with Image.open(BytesIO(data)) as image:
        suffix = _SUFFIXES.get(image.format or "", ".png")
    name = f"{clean_stem(stem)}-{hashlib.sha256(data).hexdigest()[:16]}{suffix}"
    path = folder / name
    if not path.is_file():
        write_bytes(path, data)
    return name


def clean_stem(stem: str) -> str:
    """A document's name as the beginning of a file name that every system and URL takes."""
    return re.sub(r"[^\w.-]+", "_", stem).strip("._")[:60] or "image"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
    os.chmod(name, 0o644)
    os.replace(name, path)


def remove_orphans(folder: Path, names: Iterable[str]) -> None:
    """Remove files of the folder that no document names (left by files since changed or gone)."""
    if folder.is_dir():
        known = set(names)
        for path in folder.iterdir():
            if path.is_file() and path.name not in known:
                path.unlink()
