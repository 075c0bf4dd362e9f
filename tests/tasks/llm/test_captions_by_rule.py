"""Captions that the embedded endpoint makes from the words in a picture."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from tasks.llm.rules.captions import describe_image, describe_lines
from tasks.llm.rules.request import UnknownTask


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_picture_of_numbers_is_a_chart_with_its_title() -> None:
    lines = ["Pear harvest", "2019  2020", "2021", "1,640"]
    assert describe_lines(lines, 640, 480) == (
        "Chart: Pear harvest. Visible text: 2019 2020; 2021; 1,640. Size: 640 by 480 pixels."
    )


def test_chinese_picture_is_described_in_chinese() -> None:
    assert describe_lines(["灯笼桥全景"], 10, 20) == "图片：灯笼桥全景。大小为10×20像素。"


def test_picture_without_words_says_so() -> None:
    url = _data_url(Image.new("RGB", (120, 80), "white"))
    assert describe_image(url) == "A picture without readable text, 120 by 80 pixels."


def test_words_of_a_picture_are_read() -> None:
    image = Image.new("RGB", (640, 160), "white")
    font = ImageFont.load_default(size=48)
    ImageDraw.Draw(image).text((30, 50), "Lantern Bridge", fill="black", font=font)
    caption = describe_image(_data_url(image)).replace(" ", "")
    assert "LanternBridge" in caption
    assert caption.endswith("Size:640by160pixels.")


@pytest.mark.parametrize(
    "url",
    ["https://example.org/a.png", "data:image/png;base64,####", "data:image/png;base64,aGFsbG8="],
    ids=["remote", "not base64", "not an image"],
)
def test_url_without_an_image_is_refused(url: str) -> None:
    with pytest.raises(UnknownTask):
        describe_image(url)
