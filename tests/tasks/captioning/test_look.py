"""Pictures that repeat others or decorate are told before anybody is asked."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFont

from configs.schema import CaptioningSettings
from tasks.captioning.look import look_at_images


def chart(value="1874", size=(480, 240)):
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((40, 80, 120, 220), fill=(30, 90, 160))
    pen.text((150, 120), value, fill="black", font=ImageFont.load_default(14))
    return image


def look(tmp_path, pictures, uses=None, **settings):
    for name, (image, options) in pictures.items():
        image.save(tmp_path / name, **options)
    names = list(pictures)
    looks = look_at_images(names, tmp_path, uses or {}, CaptioningSettings(**settings))
    return {one.image: one for one in looks}


@pytest.mark.parametrize(
    ("name", "options"),
    [("again.png", {"compress_level": 1}), ("again.bmp", {}), ("again.jpg", {"quality": 70})],
    ids=["packed otherwise", "another format", "lossy"],
)
def test_picture_saved_again_is_the_same(tmp_path, name, options):
    looks = look(tmp_path, {"a.png": (chart(), {}), name: (chart(), options)})
    assert looks[name].same_as == "a.png"


def test_one_changed_digit_in_small_print_is_another_picture(tmp_path):
    looks = look(tmp_path, {"a.png": (chart("1874"), {}), "b.png": (chart("1871"), {})})
    assert looks["b.png"].same_as == "b.png"


def test_first_in_the_documents_order_is_the_one_that_is_asked_about(tmp_path):
    pictures = {n: (chart(), {"compress_level": i}) for i, n in enumerate(("c.png", "a.png"))}
    pictures["b.png"] = (chart(), {"compress_level": 0})
    assert {one.same_as for one in look(tmp_path, pictures).values()} == {"c.png"}


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (chart(size=(50, 50)), "icon"),
        (chart(size=(900, 40)), "rule"),
        (Image.new("RGB", (300, 300), "navy"), "blank"),
        (chart(size=(200, 200)), ""),
    ],
    ids=["icon", "rule", "blank", "contents"],
)
def test_decoration_is_told_by_its_measures(tmp_path, image, kind):
    looks = look(tmp_path, {"a.png": (image, {})})
    assert looks["a.png"].decoration == kind


def test_small_picture_on_every_page_is_a_logo_large_one_is_not(tmp_path):
    pictures = {"small.png": (chart(size=(200, 90)), {}), "large.png": (chart(size=(900, 500)), {})}
    looks = look(tmp_path, pictures, uses={"small.png": 4, "large.png": 9})
    assert (looks["small.png"].decoration, looks["large.png"].decoration) == ("logo", "")


def test_uses_of_the_same_logo_under_several_names_add_up(tmp_path):
    pictures = {f"{i}.png": (chart(size=(200, 90)), {"compress_level": i}) for i in range(4)}
    assert {one.decoration for one in look(tmp_path, pictures).values()} == {"logo"}


def test_rule_can_be_switched_off(tmp_path):
    looks = look(tmp_path, {"a.png": (chart(size=(50, 50)), {})}, skip_decoration=False)
    assert looks["a.png"].decoration == ""


def test_broken_and_missing_pictures_say_why(tmp_path):
    chart().save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:300])
    settings = CaptioningSettings()
    cut, gone = look_at_images(["cut.png", "gone.png"], tmp_path, {}, settings)
    assert "broken" in cut.fault
    assert "missing" in gone.fault
