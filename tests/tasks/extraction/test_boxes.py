"""Geometry on hand-made boxes: rows, segments, columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.extraction.boxes import Box, join_text, join_words, order_regions, split_rows, wrap_text
from tasks.extraction.ocr import even_out


def line(text: str, left: float, top: float, *, width: float | None = None) -> Box:
    return Box(text, left, top, left + (width or 5.0 * len(text)), top + 10.0)


def words(text: str, left: float, top: float, *, space: float = 3.0) -> list[Box]:
    boxes = []
    for word in text.split():
        boxes.append(line(word, left, top))
        left = boxes[-1].right + space
    return boxes


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("the", "sea", "the sea"),
        ("灯笼", "桥", "灯笼桥"),
        ("", "sea", "sea"),
        ("共有", "19", "共有 19"),
    ],
)
def test_pieces_of_a_line_are_joined_as_their_script_writes(first, second, joined):
    assert join_text(first, second) == joined


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [("长1240", "米", "长1240米"), ("国（", "Merrow", "国（Merrow"), ("a tide", "of", "a tide of")],
)
def test_lines_are_joined_without_space_where_one_side_is_chinese(first, second, joined):
    assert wrap_text(first, second) == joined


def test_words_of_a_row_become_one_segment():
    (segment,) = join_words(words("the tide runs at night", 10, 100))
    assert segment.text == "the tide runs at night"


def test_wide_gap_parts_cells():
    boxes = [line("Grey", 10, 100), line("Heron", 33, 100), line("55", 120, 100)]
    assert [s.text for s in join_words(boxes)] == ["Grey Heron", "55"]


def test_evenly_stretched_line_stays_one_segment():
    (segment,) = join_words(words("Lio Marsk taught hydraulics", 10, 100, space=14.0))
    assert segment.text == "Lio Marsk taught hydraulics"


def test_superscript_touching_its_word_gets_no_space():
    word = line("accident", 10, 100)
    mark = Box("1)", word.right, 98, word.right + 6, 104)
    assert [s.text for s in join_words([word, mark])] == ["accident1)"]


def test_boxes_of_ocr_that_touch_stay_two_words():
    left = line("PDF", 10, 100)
    right = line("PPTX", left.right, 100)
    assert [s.text for s in join_words([left, right], touching=False)] == ["PDF PPTX"]


def test_shadow_of_a_word_is_read_once():
    shadow = Box("Title", 11.0, 100.5, 36.0, 110.5)
    assert [s.text for s in join_words([line("Title", 10, 100), shadow])] == ["Title"]


def test_slightly_shifted_pieces_share_a_row():
    rows = split_rows([line("b", 50, 103), line("a", 10, 100), line("c", 10, 115)])
    assert [[b.text for b in row] for row in rows] == [["a", "b"], ["c"]]


def column(prefix: str, left: float, count: int, top: float = 100.0) -> list[Box]:
    return [line(f"{prefix}{i} " + "x" * 30, left, top + 12 * i, width=170) for i in range(count)]


def test_two_columns_are_read_one_after_the_other():
    title = line("A title over both columns " + "x" * 40, 50, 60, width=380)
    boxes = [*column("r", 250, 8), title, *column("l", 50, 8)]
    regions = order_regions(boxes)
    texts = [b.text.split()[0] for region in regions for row in split_rows(region) for b in row]
    assert texts == ["A", *(f"l{i}" for i in range(8)), *(f"r{i}" for i in range(8))]


def test_full_width_line_below_columns_comes_last():
    foot = line("A note under both columns " + "x" * 40, 50, 220, width=380)
    regions = order_regions([foot, *column("l", 50, 8), *column("r", 250, 8)])
    assert [len(region) for region in regions] == [8, 8, 1]


def test_columns_of_short_cells_are_no_columns_of_text():
    cells = [line(str(i), left, 100 + 12 * i) for i in range(8) for left in (50, 150, 250)]
    assert len(order_regions(cells)) == 1


coordinates = st.floats(0, 500, allow_nan=False)
boxes = st.builds(
    lambda text, left, top, width, height: Box(text, left, top, left + width, top + height),
    st.text("abc灯", min_size=1, max_size=12),
    coordinates,
    coordinates,
    st.floats(1, 300),
    st.floats(4, 30),
)


@given(st.lists(boxes, max_size=30))
def test_ordering_loses_and_doubles_nothing(found):
    regions = order_regions(found)
    assert sorted(map(id, (b for region in regions for b in region))) == sorted(map(id, found))


@given(st.lists(boxes, max_size=30))
def test_rows_hold_every_box_once_from_left_to_right(found):
    rows = split_rows(found)
    assert sorted(map(id, (b for row in rows for b in row))) == sorted(map(id, found))
    assert all(row == sorted(row, key=lambda b: (b.left, b.top)) for row in rows)


@given(st.lists(boxes, max_size=20))
def test_segments_keep_all_characters(found):
    distinct = list({(b.text, round(b.left), round(b.top)): b for b in found}.values())
    joined = "".join(s.text.replace(" ", "") for s in join_words(distinct, touching=False))
    assert set(joined) == set("".join(b.text for b in distinct))


def test_lines_that_ocr_measures_unevenly_get_one_height_and_headings_keep_theirs():
    heights = [16.0, 17.0, 17.1, 17.2, 17.3, 21.0]
    lines = [
        Box("a long line of the text", 0, 30 * i, 370, 30 * i + h) for i, h in enumerate(heights)
    ]
    heading = Box("NORRIN SHIPYARD", 0, -40, 239, -19.4)
    first, *others = even_out([heading, *lines])
    assert first == heading
    assert len({box.height for box in others}) == 1
