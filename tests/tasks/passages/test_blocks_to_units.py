"""Markdown to units: heading paths, tables, lists, code, and where each block starts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.passages.blocks import page_of, read_units


def told(content):
    return [(unit.kind, unit.text) for unit in read_units(content)]


def test_paragraph_becomes_sentences():
    assert told("It rings.\nThen it\nstops.") == [
        ("sentence", "It rings."),
        ("sentence", "Then it stops."),
    ]


def test_headings_become_paths_that_end_at_the_next_of_their_level():
    content = (
        "Zero.\n\n# Town\n\nOne.\n\n## Mill **house**\nTwo.\n\n### Bell\n\n"
        "## Bridge\n\nThree.\n# End\nFour."
    )
    assert [(u.text, u.headings) for u in read_units(content)] == [
        ("Zero.", ()),
        ("One.", ("Town",)),
        ("Two.", ("Town", "Mill house")),
        ("Three.", ("Town", "Bridge")),
        ("Four.", ("End",)),
    ]


def test_heading_deeper_than_the_next_does_not_stay():
    content = "### Deep\n\nOne.\n\n## Higher\n\nTwo."
    assert [u.headings for u in read_units(content)] == [("Deep",), ("Higher",)]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# Mill", "Mill"),
        ("## Mill ##", "Mill"),
        ("# Notes on C#", "Notes on C#"),
        ("# 磨坊", "磨坊"),
    ],
)
def test_heading_titles(line, title):
    (unit,) = read_units(f"{line}\n\nText.")
    assert unit.headings == (title,)


def test_hash_without_space_is_no_heading():
    assert told("#tag and text.") == [("sentence", "#tag and text.")]


TABLE = "| Name  | Year |\n|:------|-----:|\n| Mill  | 1904 |\n| Inn   |      |"


def test_table_rows_know_their_header():
    units = read_units(TABLE)
    assert [(u.kind, u.text, u.table_head) for u in units] == [
        ("row", "| Mill | 1904 |", "| Name | Year |"),
        ("row", "| Inn |  |", "| Name | Year |"),
    ]


def test_table_of_a_header_only_is_kept():
    assert told("| Name | Year |\n|---|---|") == [("row", "| Name | Year |")]


def test_table_right_after_its_title_is_still_a_table():
    assert told(f"Table 1: Houses.\n{TABLE}\nAfter it.") == [
        ("sentence", "Table 1: Houses."),
        ("row", "| Mill | 1904 |"),
        ("row", "| Inn |  |"),
        ("sentence", "After it."),
    ]


def test_empty_first_cell_and_escaped_pipe_keep_their_columns():
    content = "|| 1904 | 1905 |\n|---|---|---|\n| a \\| b | 1 | 2 |\n|| 3 ||"
    units = read_units(content)
    assert [u.text for u in units] == ["| a \\| b | 1 | 2 |", "|  | 3 |  |"]
    assert units[0].table_head == "|  | 1904 | 1905 |"


def test_list_items_stay_whole_with_their_continuation():
    content = "- One. And more.\n  still one\n* Two.\n1. Three\n2) Four\n   - Five"
    assert told(content) == [
        ("item", "- One. And more. still one"),
        ("item", "* Two."),
        ("item", "1. Three"),
        ("item", "2) Four"),
        ("item", "- Five"),
    ]


def test_list_right_after_its_introduction_is_still_a_list():
    assert told("We sell:\n- bells\n- clocks") == [
        ("sentence", "We sell:"),
        ("item", "- bells"),
        ("item", "- clocks"),
    ]


def test_wrapped_line_that_begins_with_a_number_is_no_list():
    assert told("It was built in\n1904. Then it burned.") == [
        ("sentence", "It was built in 1904."),
        ("sentence", "Then it burned."),
    ]


def test_code_fence_keeps_lines_and_hides_headings():
    content = "Before.\n```python\n# no heading\n\nx = 1\n```\nAfter."
    assert told(content) == [
        ("sentence", "Before."),
        ("code", "# no heading"),
        ("code", "x = 1"),
        ("sentence", "After."),
    ]
    assert {u.headings for u in read_units(content)} == {()}


def test_code_fence_that_never_ends_loses_nothing():
    assert told("~~~\na = 1\n\nb = 2") == [("code", "a = 1"), ("code", "b = 2")]


def test_code_in_one_line_opens_no_fence():
    assert told("```x = 1``` is code.\n\n# Title\n\nText.")[-1] == ("sentence", "Text.")
    assert read_units("```x = 1``` is code.\n\n# Title\n\nText.")[-1].headings == ("Title",)


@pytest.mark.parametrize("rule", ["---", "***", "* * *", "___", "- - - -"])
def test_line_between_parts_is_no_text(rule):
    assert told(f"One.\n\n{rule}\n\nTwo.") == [("sentence", "One."), ("sentence", "Two.")]


def test_offset_is_where_the_unit_starts():
    content = (
        "# Town\n\nOne.  Two, and\nthree. Four.\n\n\n- item\n  goes on\n- next\n\n"
        "```\ncode\n  more\n```\n\n| a | b |\n|---|---|\n| c | d |\n\n桥。河。"
    )
    found = {unit.text: unit.offset for unit in read_units(content)}
    wanted = [
        "One.",
        "Two, and",
        "Four.",
        "- item",
        "- next",
        "code",
        "  more",
        "| c",
        "桥。",
        "河。",
    ]
    assert list(found.values()) == [content.index(text) for text in wanted]


def test_empty_document_has_no_units():
    assert read_units("") == []
    assert read_units("\n \n# Only a title\n") == []


@pytest.mark.parametrize(("offset", "page"), [(0, 1), (9, 1), (10, 2), (29, 2), (30, 4), (999, 4)])
def test_page_of_an_offset(offset, page):
    assert page_of(offset, [[1, 0], [2, 10], [4, 30]]) == page


def test_text_before_the_first_page_start_is_on_the_first_page():
    assert page_of(2, [[3, 5], [4, 9]]) == 3


def test_empty_page_hands_its_offset_to_the_next():
    assert page_of(10, [[1, 0], [2, 10], [3, 10]]) == 3


def test_format_without_pages_has_none():
    assert page_of(5, []) is None


_LINES = st.lists(
    st.sampled_from(
        ["", "alpha beta.", "gamma", "- item one", "  more", "| a | b |", "|---|---|", "| c | d |",
         "```", "# head", "12. twelve", "桥。", "~~~", "|", "3) three"]
    ),
    max_size=14,
)  # fmt: skip


@given(_LINES)
def test_no_word_is_lost_and_offsets_ascend(lines):
    content = "\n".join(lines)
    units = read_units(content)
    offsets = [unit.offset for unit in units]
    assert offsets == sorted(offsets)
    found = " ".join(f"{' '.join(u.headings)} {u.table_head} {u.text}" for u in units)
    words = set(re.findall(r"\w+", content)) - {"head"}  # a heading without text below is no unit
    assert words <= set(re.findall(r"\w+", found))
