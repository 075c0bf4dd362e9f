"""Captions take the place of marks; no file name stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.captioning.insert import insert_captions

MARK = "[IMAGE_REF: extracted_assets/a.png]"


def test_caption_becomes_a_paragraph_of_its_own():
    text = f"Before\n\n{MARK}\n\nAfter"
    captions = {"extracted_assets/a.png": "Rain\nby month"}
    assert insert_captions(text, captions) == "Before\n\nFigure: Rain by month\n\nAfter"


def test_mark_inside_a_line_is_set_apart():
    assert insert_captions(f"Before {MARK} after", {}) == "Before\n\n[figure]\n\nafter"


def test_mark_alone_has_no_blank_lines_around():
    assert insert_captions(MARK, {"extracted_assets/a.png": "A map"}) == "Figure: A map"


def test_two_marks_in_a_row_are_two_paragraphs():
    assert insert_captions(f"{MARK}\n{MARK}", {}) == "[figure]\n\n[figure]"


@given(st.lists(st.sampled_from(["text ", "\n", "\n\n", MARK]), max_size=12))
def test_no_file_name_remains(pieces):
    text = insert_captions("".join(pieces), {})
    assert "IMAGE_REF" not in text
    assert ".png" not in text
    assert text.count("[figure]") == pieces.count(MARK)
