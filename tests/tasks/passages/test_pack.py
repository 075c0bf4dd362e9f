"""Units to passages, counted in words: nothing lost, nothing too long, order and headers kept."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tasks.passages.blocks import Unit, read_units
from tasks.passages.pack import Packed, TooLong, pack


def count(text):
    return len(text.split())


def sentence(text, *headings):
    return Unit(text, "sentence", 0, headings)


def row(text, head, *headings):
    return Unit(text, "row", 0, headings, head)


def packed(units, limit):
    return list(pack(units, limit, count))


def texts(units, limit):
    pieces = packed(units, limit)
    assert all(isinstance(piece, Packed) for piece in pieces)
    return [piece.text for piece in pieces]


def test_passages_are_filled_to_the_limit():
    units = [sentence(text) for text in ("a b c.", "d e.", "f g.", "h.")]
    assert texts(units, 5) == ["a b c. d e.", "f g. h."]


def test_headings_stand_in_front_and_count():
    # "Town > Mill" is 3 words, a quarter of 12.
    units = [sentence("a b c d e f.", "Town", "Mill"), sentence("g h i.", "Town", "Mill")]
    assert texts(units, 12) == ["Town > Mill\na b c d e f. g h i."]
    units.append(sentence("j.", "Town", "Mill"))
    assert texts(units, 12) == ["Town > Mill\na b c d e f. g h i.", "Town > Mill\nj."]


def test_long_path_shrinks_to_its_innermost_heading_then_to_none():
    assert texts([sentence("a b.", "Town of Kelso", "Mill")], 4) == ["Mill\na b."]
    assert texts([sentence("a b.", "Town of Kelso", "The old mill")], 4) == ["a b."]


def test_nothing_merges_across_headings():
    units = [sentence("a.", "One"), sentence("b.", "Two"), sentence("c.")]
    pieces = packed(units, 50)
    assert [piece.headings for piece in pieces] == [("One",), ("Two",), ()]
    assert [piece.text for piece in pieces] == ["One\na.", "Two\nb.", "c."]


def test_rows_stand_below_their_header_in_every_passage():
    # Header, rule and one row are 5 + 1 + 5 words; two rows are 16.
    head = "| Name | Year |"
    units = [row(f"| M{i} | 190{i} |", head) for i in range(3)]
    assert texts(units, 16) == [
        "| Name | Year |\n|---|---|\n| M0 | 1900 |\n| M1 | 1901 |",
        "| Name | Year |\n|---|---|\n| M2 | 1902 |",
    ]


def test_two_tables_keep_their_own_headers():
    units = [row("| a |", "| A |"), row("| b |", "| B |")]
    assert texts(units, 50) == ["| A |\n|---|\n| a |\n| B |\n|---|\n| b |"]


def test_row_too_wide_for_its_header_is_spelled_out():
    # With its header the row takes 7 + 1 + 7 words; spelled out, 6.
    assert texts([row("| Mill | 1904 | \\| |", "| Name | Year |  |")], 7) == [
        "Name: Mill; Year: 1904; \\|"
    ]


def test_items_and_code_stand_on_lines_of_their_own():
    units = [
        sentence("We sell:"),
        Unit("- bells", "item", 5, ()),
        Unit("- clocks", "item", 5, ()),
        Unit("x = 1", "code", 20, ()),
        sentence("End."),
    ]
    assert texts(units, 50) == ["We sell:\n- bells\n- clocks\nx = 1\nEnd."]


def test_chinese_sentences_stand_without_spaces():
    units = [sentence("桥建于1904年。"), sentence("它很长。")]
    assert [p.text for p in pack(units, 50, len)] == ["桥建于1904年。它很长。"]


def test_too_long_sentence_is_cut_at_clauses():
    assert texts([sentence("a b, c d; e f: g h.")], 4) == ["a b, c d;", "e f: g h."]


def test_cut_clauses_keep_the_spaces_they_had():
    assert [p.text for p in pack([sentence("f(a,b),g(c), h")], 10, len)] == ["f(a,b),", "g(c), h"]


def test_clause_that_no_passage_holds_parts_two_passages():
    pieces = packed([sentence("a b, c d e f g, h i.")], 4)
    assert pieces == [Packed("a b,", (), 0, 0), TooLong("c d e f g,", 5), Packed("h i.", (), 0, 0)]


def test_line_of_code_is_never_cut():
    (piece,) = packed([Unit("f(a, b, c, d)", "code", 0, ())], 2)
    assert piece == TooLong("f(a, b, c, d)", 4)


def test_offsets_are_those_of_the_first_and_last_unit():
    units = [Unit(f"{c} x.", "sentence", i, ()) for c, i in (("a", 7), ("b", 12), ("c", 30))]
    assert [(piece.offset, piece.last) for piece in packed(units, 4)] == [(7, 12), (30, 30)]


_WORDS = st.lists(st.sampled_from("aa bb, cc; dd: ee.".split()), min_size=1, max_size=9)
_SECTIONS = st.lists(
    st.tuples(
        st.sampled_from(["", "# one", "## two", "## two words", "# a title that is long"]),
        st.sampled_from(["text", "items", "table", "code"]),
        st.lists(_WORDS, min_size=1, max_size=4),
    ),
    max_size=6,
)


def document(sections):
    """A document in which every word is its own: w0x, w1x, ... with the marks drawn."""
    number = 0
    blocks = []
    for heading, kind, lines in sections:
        named = []
        for line in lines:
            words = []
            for word in line:
                words.append(f"w{number}x" + word[2:])
                number += 1
            named.append(" ".join(words))
        if kind == "table":
            named = [f"| {line} | {line[:1]}y |" for line in named]
            named[1:1] = ["|---|---|"]
        body = {"items": "- " + "\n- ".join(named), "code": "```\n" + "\n".join(named) + "\n```"}
        blocks += [heading, body.get(kind, "\n".join(named))]
    return "\n\n".join(blocks)


def numbers(text):
    return [int(n) for n in re.findall(r"w(\d+)x", text)]


@given(_SECTIONS, st.integers(3, 30))
def test_no_unit_is_lost_and_no_passage_too_long(sections, limit):
    units = read_units(document(sections))
    pieces = packed(units, limit)
    for piece in pieces:
        if isinstance(piece, Packed):
            assert count(piece.text) <= limit
        else:
            assert piece.tokens > limit
    there = {n for piece in pieces for n in numbers(piece.text)}
    assert there == {n for unit in units for n in numbers(unit.text + unit.table_head)}


@given(_SECTIONS, st.integers(3, 30))
def test_units_keep_their_order_and_their_headings(sections, limit):
    units = read_units(document(sections))
    headings = {n: unit.headings for unit in units for n in numbers(unit.text)}
    heads = {n for unit in units for n in numbers(unit.table_head)}
    order = []
    for piece in packed(units, limit):
        found = [n for n in numbers(piece.text) if n not in heads]
        order += found
        if isinstance(piece, Packed):
            assert {headings[n] for n in found} <= {piece.headings}
    assert order == [n for n in headings if n not in heads]


@given(_SECTIONS, st.integers(8, 40))
def test_whole_rows_stand_with_their_header(sections, limit):
    units = read_units(document(sections))
    head_of = {unit.text: unit.table_head for unit in units if unit.table_head}
    for piece in packed(units, limit):
        lines = piece.text.split("\n")
        assert {head_of[line] for line in lines if line in head_of} <= set(lines)
