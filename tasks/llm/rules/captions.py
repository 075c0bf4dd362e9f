"""Captions by rule: what a picture's own words say, its kind as far as they tell, and its size."""

from __future__ import annotations

import base64
import binascii
import io
import re
import threading
from typing import TYPE_CHECKING

from tasks.llm.rules.request import UnknownTask

if TYPE_CHECKING:
    from PIL.Image import Image

# One reading at a time: the OCR engine is shared and fills a core.
_ocr_lock = threading.Lock()
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,(.+)", re.DOTALL)
_NUMBER = re.compile(r"[\d.,:%+-]*\d[\d.,:%+-]*")
_HAN = re.compile(r"[\u4e00-\u9fff]")


def describe_image(url: str) -> str:
    """Title, visible text, kind and size of the image in a data URL.

    Raises:
        UnknownTask: If the URL holds no image.
    """
    image = _decode(url)
    from tasks.extraction.ocr import read_image

    with _ocr_lock:
        lines = read_image(image)
    return describe_lines(lines, *image.size)


def describe_lines(lines: list[str], width: int, height: int) -> str:
    """The caption of an image whose text was read; in Chinese where that text is Chinese."""
    lines = [" ".join(line.split()) for line in lines if line.strip()]
    text = "".join(lines)
    is_chinese = 3 * len(_HAN.findall(text)) > len(text)
    if not lines:
        return f"A picture without readable text, {width} by {height} pixels."
    kind = _kind(lines)
    title = next((line for line in lines if not _is_numeric(line)), lines[0])
    rest = [line for line in lines if line != title]
    if is_chinese:
        name = {"Chart": "图表", "Diagram": "示意图", "Text": "文字图片", "Picture": "图片"}[kind]
        shown = f"图中文字：{'；'.join(rest)}。" if rest else ""
        return f"{name}：{title.rstrip('。')}。{shown}大小为{width}×{height}像素。"
    shown = f" Visible text: {'; '.join(rest)}." if rest else ""
    return f"{kind}: {title.rstrip('.')}.{shown} Size: {width} by {height} pixels."


def _kind(lines: list[str]) -> str:
    words = [word for line in lines for word in line.split()]
    numbers = sum(1 for word in words if _NUMBER.fullmatch(word))
    if numbers >= 4 and 3 * numbers >= len(words):
        return "Chart"
    if len(words) > 60:
        return "Text"
    return "Diagram" if len(lines) >= 4 else "Picture"


def _is_numeric(line: str) -> bool:
    return all(_NUMBER.fullmatch(word) for word in line.split())


def _decode(url: str) -> Image:
    from PIL import Image as Pillow

    match = _DATA_URL.fullmatch(url)
    if match is None:
        raise UnknownTask("the image must be a data URL: data:image/jpeg;base64,...")
    try:
        image = Pillow.open(io.BytesIO(base64.b64decode(match[1], validate=True)))
        image.load()
    except (binascii.Error, OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as err:
        raise UnknownTask(f"the data URL holds no readable image ({type(err).__name__})") from err
    return image
