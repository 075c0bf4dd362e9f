"""Pictures on their way to the model: checked, upright, on white, small."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from clara_model.errors import DataError
from configs.schema import CaptioningSettings
from tasks.captioning.prepare import prepare_image


def prepare(path, **settings):
    return Image.open(io.BytesIO(prepare_image(path, CaptioningSettings(**settings))))


def test_large_pictures_are_scaled_down(tmp_path):
    Image.new("RGB", (2000, 500), "red").save(tmp_path / "a.png")
    image = prepare(tmp_path / "a.png", max_side=400)
    assert (image.format, image.size) == ("JPEG", (400, 100))


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (50, 50), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert min(prepare(tmp_path / "a.png").getpixel((25, 25))) > 250


def test_deep_grey_is_stretched_instead_of_clipped(tmp_path):
    pixels = np.zeros((40, 40), dtype=np.uint16)
    pixels[:, 20:] = 40_000
    Image.fromarray(pixels).save(tmp_path / "a.tiff")
    image = prepare(tmp_path / "a.tiff")
    assert max(image.getpixel((5, 20))) < 10
    assert min(image.getpixel((35, 20))) > 245


def test_orientation_of_a_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (100, 60), "red").save(tmp_path / "a.jpg", exif=exif)
    assert prepare(tmp_path / "a.jpg").size == (60, 100)


def test_too_many_pixels_are_refused_undecoded(tmp_path):
    Image.new("1", (400, 400)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="400 x 400 pixels"):
        prepare(tmp_path / "a.png", max_pixels=1000)


def test_truncated_jpeg_is_refused(tmp_path):
    Image.effect_noise((200, 200), 90).convert("RGB").save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="broken or not a picture"):
        prepare(tmp_path / "a.jpg")


def test_missing_and_foreign_files_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="broken or not a picture"):
        prepare(tmp_path / "a.png")
    with pytest.raises(DataError, match="missing"):
        prepare(tmp_path / "b.png")
