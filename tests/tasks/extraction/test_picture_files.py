"""Files that are pictures: frames, scans, transparency, and what is broken."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image, ImageDraw, ImageFont

from clara_model.errors import DataError
from configs.schema import ExtractionSettings
from tasks.extraction.images import PictureStore, check_picture
from tasks.extraction.picture_files import read_picture_file

LINES = [
    "The lantern bridge of Quillhaven was built by the engineer",
    "Ivo Tarn in 1904 and crosses the harbour on nineteen arches",
    "of grey granite. Its lamps were lit with whale oil until the",
    "electric plant at Norrin was connected in the winter of 1911.",
]


def scan():
    image = Image.new("L", (1200, 320), 255)
    for i, line in enumerate(LINES):
        ImageDraw.Draw(image).text((60, 40 + 55 * i), line, 0, ImageFont.load_default(34))
    return image


def read(path, folder, **settings):
    store = PictureStore(folder / "assets", path.stem, 1)
    return read_picture_file(path, ExtractionSettings(**settings), store), store


def test_frames_of_a_tiff_are_pages_and_a_scan_brings_its_text(tmp_path):
    path = tmp_path / "fax.tiff"
    labelled = Image.new("L", (300, 200), 90)
    scan().save(path, save_all=True, append_images=[labelled])
    extracted, store = read(path, tmp_path)
    first, second = (f"[IMAGE_REF: extracted_assets/{name}]" for name in store.names)
    text = extracted.content[len(first) :].removesuffix(second).strip()
    assert "".join(text.split()) == "".join("".join(LINES).split())
    assert extracted.page_starts == [(1, 0), (2, extracted.content.index(second))]
    assert extracted.num_ocr_pages == 1
    assert (extracted.places[-1].page, extracted.places[-1].offset) == extracted.page_starts[1]
    text_place = extracted.places[1]
    assert extracted.content[text_place.offset :].startswith("The lantern")
    left, top, right, bottom = text_place.box
    assert 50 < left < 70 < right < 1200
    assert 30 < top < 60 < bottom < 260


def test_picture_with_a_few_words_is_only_a_mark(tmp_path):
    path = tmp_path / "sign.png"
    image = Image.new("L", (600, 120), 255)
    ImageDraw.Draw(image).text((40, 30), "Ferry at noon", 0, ImageFont.load_default(40))
    image.save(path)
    extracted, store = read(path, tmp_path)
    assert extracted.content == f"[IMAGE_REF: extracted_assets/{store.names[0]}]"
    assert (store.folder / store.names[0]).read_bytes() == path.read_bytes()


def test_rest_of_a_cut_tiff_is_told(tmp_path):
    path = tmp_path / "cut.tif"
    frames = [Image.effect_noise((200, 200), 40 + i) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    extracted, store = read(path, tmp_path, ocr=False)
    assert len(store.names) == 1
    assert any("broken" in reason for reason in [*extracted.problems, *store.reasons])


def test_more_frames_than_pages_are_refused(tmp_path):
    path = tmp_path / "long.tif"
    frames = [Image.new("L", (8, 8), i) for i in range(5)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"more frames than extraction.max_pages 4"):
        read(path, tmp_path, max_pages=4)


def test_animation_is_its_first_frame(tmp_path):
    path = tmp_path / "moving.webp"
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    extracted, store = read(path, tmp_path, ocr=False)
    assert len(store.names) == 1
    assert extracted.page_starts == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xd7\xcd\xc6\x9a" + bytes(60), "WMF vector graphics cannot be read"),
        (b"\x01\x00\x00\x00".ljust(40, b"\0") + b" EMF".ljust(40, b"\0"), "EMF vector graphics"),
        (b"\x89PNG\r\n\x1a\njunk", "broken or not a picture"),
    ],
    ids=["wmf", "emf", "junk"],
)
def test_unreadable_pictures_have_a_reason(data, reason):
    assert reason in check_picture(data).reason


def test_picture_that_claims_too_many_pixels_is_not_decoded():
    buffer = BytesIO()
    Image.new("1", (10_000, 7_000)).save(buffer, "PNG")
    assert "pixels are more than 60,000,000" in check_picture(buffer.getvalue()).reason


def test_picture_too_thin_for_ocr_is_only_a_mark(tmp_path):
    path = tmp_path / "rule.png"
    Image.new("L", (9000, 2), 128).save(path)
    extracted, store = read(path, tmp_path)
    assert extracted.content == f"[IMAGE_REF: extracted_assets/{store.names[0]}]"


def test_reason_names_no_place_in_memory():
    assert check_picture(b"\x89PNG\r\n\x1a\njunk").reason == (
        "broken or not a picture (cannot identify image file)"
    )
