"""Lines to paragraphs, headings, items, code and tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.extraction.blocks import Style, build_blocks, join_lines
from tasks.extraction.boxes import Box
from tasks.extraction.compose import compose
from tasks.extraction.furniture import Page
from tasks.extraction.tables import to_markdown

STYLE = Style(body=10.0)


def line(text, top, left=50.0, width=None, height=10.0, **kwargs):
    return Box(text, left, top, left + (width or 300.0), top + height, **kwargs)


def read(*lines, style=STYLE):
    return [(b.kind, b.text) for b in build_blocks(list(lines), style, page=1)]


def test_lines_of_one_paragraph_are_joined():
    assert read(line("The tide runs", 100), line("at night.", 112, width=60)) == [
        ("paragraph", "The tide runs at night.")
    ]


def test_wider_gap_starts_a_paragraph():
    found = read(line("One.", 100), line("still one", 112), line("two", 136), line("two", 148))
    assert [text for _, text in found] == ["One. still one", "two two"]


def test_indent_starts_a_paragraph():
    found = read(line("first line", 100), line("it ends.", 112), line("Next one", 124, left=58))
    assert [text for _, text in found] == ["first line it ends.", "Next one"]


def test_short_last_line_ends_a_chinese_paragraph_of_even_leading():
    found = read(
        line("灯笼桥由建筑师伊沃设计全长一千二百四十", 100),
        line("共有桥拱。", 112, width=75),
        line("吴启明制作了桥上的二百一十二盏灯笼", 124),
    )
    assert [text for _, text in found] == [
        "灯笼桥由建筑师伊沃设计全长一千二百四十共有桥拱。",
        "吴启明制作了桥上的二百一十二盏灯笼",
    ]


def test_sentence_that_ends_at_the_margin_does_not_end_the_paragraph():
    found = read(line("It ended here.", 100), line("And went on", 112))
    assert [text for _, text in found] == ["It ended here. And went on"]


def test_larger_line_is_a_heading_and_its_lines_are_joined():
    found = read(
        line("How the Sea Lights", 60, height=16),
        line("the Islands", 80, height=16),
        line("Text of the body.", 110),
    )
    assert found[0] == ("heading", "How the Sea Lights the Islands")
    assert found[1][0] == "paragraph"


def test_bold_line_is_a_heading_unless_everything_is_bold():
    bold = line("Safety", 100, bold=True)
    assert read(bold, line("The port counted.", 112))[0] == ("heading", "Safety")
    assert read(bold, style=Style(body=10.0, bold=True))[0][0] == "paragraph"


def test_bullets_become_items_with_their_hanging_lines():
    found = read(
        line("• The summer exams begin on 3", 100),
        line("June 2024.", 112, left=60),
        line("• The choir sings.", 124),
    )
    assert found == [
        ("item", "- The summer exams begin on 3 June 2024."),
        ("item", "- The choir sings."),
    ]


def test_asterisk_of_a_word_is_no_bullet():
    assert read(line("*ALLOBJ access", 100)) == [("paragraph", "*ALLOBJ access")]


def test_date_at_the_start_of_a_line_is_no_item():
    found = read(line("It was on 2020.", 100), line("3.11. that it began", 112))
    assert len(found) == 1


def test_line_of_contents_loses_its_dots():
    assert read(line("Preface . . . . . . . . . xi", 100)) == [("item", "- Preface xi")]


def test_program_keeps_lines_and_indentation():
    found = read(
        line("function add(a, b) {", 100, width=100, mono=True),
        line("return a + b;", 112, left=70, width=65, mono=True),
        line("}", 124, width=5, mono=True),
    )
    assert found == [("code", "```\nfunction add(a, b) {\n    return a + b;\n}\n```")]


def test_aligned_rows_become_a_table():
    rows = [("Ferry", "Seats"), ("Grey Heron", "180"), ("White Tern", "120"), ("Pearl", "90")]
    cells = []
    for i, (name, seats) in enumerate(rows):
        cells.append(line(name, 100 + 15 * i, width=60))
        cells.append(line(seats, 100 + 15 * i, left=200, width=20))
    ((kind, text),) = read(*cells)
    assert kind == "table"
    assert text.splitlines()[:3] == ["| Ferry | Seats |", "| --- | --- |", "| Grey Heron | 180 |"]


def test_one_stretched_line_is_no_table():
    stretched = [
        line(w, 112, left=50 + 70 * i, width=20) for i, w in enumerate(["a", "b", "c", "d"])
    ]
    found = read(line("A line of running text", 100), *stretched, line("and its end.", 124))
    assert [kind for kind, _ in found] == ["paragraph"]


def test_numbered_list_with_wide_gaps_is_no_table():
    cells = []
    for i in range(4):
        cells.append(line(f"{i + 1}.", 100 + 12 * i, width=8))
        cells.append(line("Run the statement that is shown", 100 + 12 * i, left=80, width=200))
    assert {kind for kind, _ in read(*cells)} == {"item"}


def test_picture_beside_a_paragraph_does_not_cut_it():
    mark = "[IMAGE_REF: extracted_assets/a.png]"
    picture = Box(mark, 400, 105, 480, 200, kind="picture")
    found = read(line("A long", 100), line("paragraph.", 112), picture, line("Next", 150))
    assert [text for _, text in found] == ["A long paragraph.", mark, "Next"]


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("harb-", "our", "harbour"),
        ("self-", "locking", "self-locking"),
        ("1950-", "1960", "1950- 1960"),
        ("Anne-", "Marie", "Anne- Marie"),
        ("harb\u00ad", "our", "harbour"),
    ],
)
def test_hyphenation_is_undone(first, second, joined):
    assert join_lines(first, second, {"self-locking"}) == joined


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), min_size=1, max_size=6))
def test_tables_have_the_same_cells_in_every_row(grid):
    text = to_markdown(grid)
    counts = {row.replace("\\|", "").count("|") for row in text.splitlines()}
    assert len(counts) <= 1


def page(number, *boxes):
    return Page(number, 600, 800, tuple(boxes))


def body(number):
    return [line(f"Text of page {number} is here", 200 + 12 * i) for i in range(3)]


def test_running_headers_footers_and_page_numbers_are_removed():
    pages = [
        page(
            n,
            line("Annual Report", 30, width=80),
            *body(n),
            line("Port of Osterly", 770, width=90),
            line(str(n), 770, left=500, width=6),
        )
        for n in (1, 2, 3)
    ]
    content = compose(pages).content
    assert "Annual Report" not in content
    assert "Port of Osterly" not in content
    assert content.count("Text of page") == 9


def test_number_inside_the_text_of_a_page_is_kept():
    pages = [page(n, *body(n), line("1963", 400, width=20)) for n in (1, 2, 3)]
    assert compose(pages).content.count("1963") == 3


def test_numbered_headings_at_the_top_of_pages_are_kept():
    pages = [
        page(n, line("Annals of the isles", 20), line(f"Chapter {n}", 40, height=16.0), *body(n))
        for n in (1, 2, 3)
    ]
    content = compose(pages).content
    assert "Annals" not in content
    assert [row for row in content.split("\n") if row.startswith("#")] == [
        "# Chapter 1", "# Chapter 2", "# Chapter 3",
    ]  # fmt: skip


def test_first_lines_of_pages_that_happen_to_agree_are_kept():
    titles = {1: "The mill", 2: "The bridge"}
    pages = [page(n, line(titles[n], 50), line("Dear reader,", 100), *body(n)) for n in (1, 2)]
    assert compose(pages).content.count("Dear reader,") == 2


def test_paragraph_that_runs_over_a_page_is_one_and_pages_are_known():
    first = page(1, line("The bridge that Ivo Tarn", 200), line("drew in the harb-", 212))
    second = page(2, line("our office is old.", 200))
    composed = compose([first, second])
    assert composed.content == "The bridge that Ivo Tarn drew in the harbour office is old."
    assert dict(composed.page_starts)[2] == composed.content.index("our office")


def test_page_without_text_begins_where_the_next_one_does():
    composed = compose([page(1, line("One.", 200)), page(2), page(3, line("Three.", 200))])
    assert composed.page_starts[1][1] == composed.page_starts[2][1]
