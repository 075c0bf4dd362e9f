"""What is plain about a picture before anybody is asked: broken, decoration, or seen before."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clara_model.errors import DataError
from configs.schema import CaptioningSettings
from tasks.captioning.prepare import open_picture
from tasks.storage import hash_file

if TYPE_CHECKING:
    from PIL.Image import Image

_COARSE = 16  # sides of the small version by which twins are looked for
_COARSE_TOLERANCE = 8  # levels of 255
# Lossy compression moved the mean of an 8 x 8 block by up to 11 levels, a changed digit by 27.
_BLOCK = 8
_BLOCK_TOLERANCE = 12
_BLANK_LEVELS = 12  # grey levels around the commonest that count as the same
_BLANK_SHARE = 0.0005  # of the pixels may differ in a blank picture


@dataclass(frozen=True)
class Look:
    """One picture: whom it repeats, and why it is not worth asking about.

    Args:
        image: Name of the picture.
        same_as: The first picture that shows the same; its own name if it is the first.
        decoration: "icon", "rule", "blank", "logo", or "" for a picture with contents.
        fault: Why it cannot be read, or "".
        detail: The decoration's measure, in words.
    """

    image: str
    same_as: str
    decoration: str = ""
    fault: str = ""
    detail: str = ""


@dataclass(frozen=True)
class _Seen:
    size: tuple[int, int] = (0, 0)
    pixels: str = ""
    coarse: bytes = b""
    is_blank: bool = False
    fault: str = ""


def look_at_images(
    images: Sequence[str], root: Path, uses: Mapping[str, int], settings: CaptioningSettings
) -> list[Look]:
    """Sort pictures into broken, decoration, repeated, and those to ask about.

    Pictures are the same if their bytes are, if their decoded pixels are, or if one is the other
    saved again (same size, every 8 x 8 block of nearly the same mean colour).

    Args:
        images: Paths below `root`, each once.
        root: Folder of the workspace.
        uses: How often the documents show each picture.
        settings: The rule: `skip_decoration`, `icon_side`, `rule_aspect`, `logo_*`.

    Returns:
        One look a picture, in order.
    """
    digests = {image: _digest(root / image) for image in images}
    firsts: dict[str, str] = {}
    for image, digest in digests.items():
        firsts.setdefault(digest, image)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        seen = dict(
            zip(firsts, pool.map(lambda n: _see(root / n, settings), firsts.values()), strict=True)
        )
    leaders = _group(firsts, seen, root, settings)
    shown: Counter[str] = Counter()
    for image in images:
        shown[leaders[digests[image]]] += uses.get(image, 1)
    looks = []
    for image in images:
        one, same_as = seen[digests[image]], leaders[digests[image]]
        kind, detail = _decoration(one, shown[same_as], settings)
        looks.append(Look(image, same_as, kind, one.fault, detail))
    return looks


def describe_rule(settings: CaptioningSettings) -> str:
    """The rule by which decoration is skipped, in one line for the log."""
    return (
        f"icons (sides up to {settings.icon_side} px), rules ({settings.rule_aspect:g} times "
        "as long as wide), blank ones, and logos (sides up to "
        f"{settings.logo_side} px, shown {settings.logo_uses} times or more)"
    )


def _digest(path: Path) -> str:
    return hash_file(path) if path.is_file() else f"missing {path.name}"


def _see(path: Path, settings: CaptioningSettings) -> _Seen:
    try:
        picture = open_picture(path, settings.max_pixels)
    except DataError as err:
        return _Seen(fault=str(err))
    from PIL import Image

    coarse = picture.resize((_COARSE, _COARSE), Image.Resampling.BOX)
    pixels = hashlib.sha256(picture.tobytes()).hexdigest()
    return _Seen(picture.size, pixels, coarse.tobytes(), _is_blank(picture))


def _is_blank(picture: Image) -> bool:
    histogram = picture.convert("L").histogram()
    common = histogram.index(max(histogram))
    near = sum(histogram[max(0, common - _BLANK_LEVELS) : common + _BLANK_LEVELS + 1])
    return near >= (1 - _BLANK_SHARE) * sum(histogram)


def _group(
    firsts: Mapping[str, str],
    seen: Mapping[str, _Seen],
    root: Path,
    settings: CaptioningSettings,
) -> dict[str, str]:
    """For each file digest the first picture that shows the same."""
    leaders: dict[str, str] = {}
    by_pixels: dict[tuple[tuple[int, int], str], str] = {}
    by_size: dict[tuple[int, int], list[tuple[bytes, str]]] = defaultdict(list)
    for digest, image in firsts.items():
        one = seen[digest]
        if one.fault:
            leaders[digest] = image
            continue
        leader = by_pixels.get((one.size, one.pixels))
        if leader is None:
            leader = _twin(image, one, by_size[one.size], root, settings) or image
            by_pixels[(one.size, one.pixels)] = leader
        if leader == image:
            by_size[one.size].append((one.coarse, image))
        leaders[digest] = leader
    return leaders


def _twin(
    image: str,
    one: _Seen,
    others: Iterable[tuple[bytes, str]],
    root: Path,
    settings: CaptioningSettings,
) -> str | None:
    others = list(others)
    if not others:
        return None
    table = np.frombuffer(b"".join(coarse for coarse, _ in others), np.uint8)
    own = np.frombuffer(one.coarse, np.uint8).astype(np.int16)
    distance = np.abs(table.reshape(len(others), -1) - own).max(axis=1)
    candidates = np.flatnonzero(distance <= _COARSE_TOLERANCE)
    if not len(candidates):
        return None
    blocks = _blocks(root / image, settings)
    for i in candidates:
        other = others[i][1]
        if np.abs(_blocks(root / other, settings) - blocks).max() <= _BLOCK_TOLERANCE:
            return other
    return None


def _blocks(path: Path, settings: CaptioningSettings) -> np.ndarray:
    """Mean colour of every 8 x 8 block, int16."""
    return np.asarray(open_picture(path, settings.max_pixels).reduce(_BLOCK)).astype(np.int16)


def _decoration(one: _Seen, uses: int, settings: CaptioningSettings) -> tuple[str, str]:
    if one.fault or not settings.skip_decoration:
        return "", ""
    long, short = max(one.size), min(one.size)
    size = f"{one.size[0]} x {one.size[1]} pixels"
    if long <= settings.icon_side:
        return "icon", size
    if short * settings.rule_aspect <= long:
        return "rule", size
    if one.is_blank:
        return "blank", "one colour"
    if long <= settings.logo_side and uses >= settings.logo_uses:
        return "logo", f"{size}, shown {uses} times"
    return "", ""
