"""Markdown, HTML and text: pictures only from below the input folder."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from tasks.extraction.images import PictureStore, save_picture
from tasks.extraction.markup import (
    LinkedPictures,
    isolate_marks,
    read_html,
    read_markdown,
    tidy_tables,
)

MARK = "[IMAGE_REF: extracted_assets/a.png]"


def png(colour, side=64):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "input"
    (root / "sub").mkdir(parents=True)
    (root / "chart one.png").write_bytes(png("red"))
    (tmp_path / "secret.png").write_bytes(png("blue"))
    return root


def read(folder, name, text, reader=read_markdown):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    store = PictureStore(folder.parent / "assets", path.stem, 48)
    return reader(path, LinkedPictures(path, folder, store)).content, store


def test_picture_below_the_input_is_saved_and_marked(folder):
    text = "Before ![Rain by month](<chart%20one.png>) after."
    content, store = read(folder, "a.md", text)
    (name,) = store.names
    mark = f"[IMAGE_REF: extracted_assets/{name}]"
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    assert lines == ["Before", mark, "Rain by month", "after."]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("../secret.png", "outside of the input folder"),
        ("/etc/hostname", "outside of the input folder"),
        ("file:///etc/hostname", "not fetched"),
        ("https://example.org/a.png", "not fetched"),
        ("//example.org/a.png", "not fetched"),
        ("nowhere.png", "missing file"),
        ("data:image/png;base64,AAAA", "broken or not a picture"),
    ],
)
def test_other_pictures_are_set_aside(folder, source, reason):
    content, store = read(folder, "a.md", f"Text ![x]({source})")
    assert content == "Text"
    assert reason in store.all_reasons()[0]


def test_code_is_left_alone(folder):
    text = "```md\n![x](nowhere.png)\n<!-- kept -->\n```"
    content, store = read(folder, "a.md", text)
    assert content == text
    assert store.all_reasons() == []


def test_html_keeps_text_before_the_first_heading_and_its_pictures(folder):
    uri = "data:image/png;base64," + base64.b64encode(png("green")).decode()
    text = f"""<!doctype html><html><body><script>alert(1)</script><p>Before it_all.</p>
    <h1>Title</h1><p>One <img src="{uri}" alt="A green field"> two.</p>
    <table><tr><th>Day</th><th>Tide</th></tr><tr><td>Monday</td><td>05:12</td></tr></table>"""
    content, store = read(folder, "a.html", text, read_html)
    (name,) = store.names
    lines = content.splitlines()
    assert lines[0] == "Before it_all."
    assert "# Title" in lines
    assert f"[IMAGE_REF: extracted_assets/{name}]" in lines
    assert "A green field" in lines
    assert lines[-3:] == ["| Day | Tide |", "| --- | --- |", "| Monday | 05:12 |"]
    assert "alert" not in content


def test_marks_in_table_cells_move_below_the_table():
    content = isolate_marks(f"| a | {MARK} |\n| - | - |\n| b | c |\ntext")
    assert content.splitlines() == ["| a |  |", "| - | - |", "| b | c |", "", MARK, "text"]


def test_tables_lose_their_padding():
    padded = "|  a   |  b |\n|:----|---:|\n| 1    |    |"
    assert tidy_tables(padded) == "| a | b |\n| --- | --- |\n| 1 |  |"


def test_same_content_has_the_same_name_and_other_content_another(tmp_path):
    first = save_picture(tmp_path, "my report", png("red"))
    assert first == save_picture(tmp_path, "my report", png("red"))
    assert first != save_picture(tmp_path, "my report", png("blue"))
    assert len(list(tmp_path.iterdir())) == 2
