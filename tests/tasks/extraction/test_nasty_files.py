"""Files made to be difficult: each is read rightly, or set aside with a reason that says why."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from configs.schema import PipelineConfig
from tasks.extraction.files import list_files
from tasks.extraction.read import Job, read_file

TEXT = "The Lantern Bridge of Osterly has nineteen arches and was opened in 1911."
NO_OCR = PipelineConfig.model_validate({"extraction": {"ocr": False}}).extraction


def read(path: Path) -> dict[str, Any]:
    job = Job(path, path.name, "0" * 64, path.stat().st_size)
    return read_file(job, path.parent, path.parent / "assets", NO_OCR)


def content(path: Path) -> str:
    record = read(path)
    assert record["row"] is not None, record["reasons"]
    return str(record["row"]["content"])


def reason(path: Path) -> str:
    record = read(path)
    assert record["row"] is None
    return "; ".join(record["reasons"])


def test_pdf_that_only_its_owner_may_change_is_read(tmp_path: Path) -> None:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    path = tmp_path / "a.pdf"
    lock = StandardEncryption("", ownerPassword="owner", canCopy=0)
    canvas = Canvas(str(path), encrypt=lock)
    canvas.drawString(72, 700, TEXT)
    canvas.save()
    assert b"/Encrypt" in path.read_bytes()
    assert content(path) == TEXT


@pytest.mark.parametrize(
    ("kids", "count", "words"),
    [(b"[]", 0, "damaged PDF: it has no pages"), (b"[2 0 R]", 1, "page 1: cannot be read")],
    ids=["none", "cycle"],
)
def test_pdf_without_a_page_is_set_aside(
    tmp_path: Path, kids: bytes, count: int, words: str
) -> None:
    pages = b"<< /Type /Pages /Kids %s /Count %d >>" % (kids, count)
    bodies = [b"<< /Type /Catalog /Pages 2 0 R >>", pages]
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"xref\n0 3\n0000000000 65535 f \n"
    table += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer << /Size 3 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(data)
    path = tmp_path / "a.pdf"
    path.write_bytes(data + table + end)
    assert words in reason(path)


def docx(path: Path, change: Callable[[bytes], bytes], part: str = "word/document.xml") -> Path:
    """A document of one paragraph, the XML of one part changed."""
    from docx import Document

    document, buffer = Document(), io.BytesIO()
    document.add_paragraph(TEXT)
    document.save(buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name == part else data)
    return path


def nested(xml: bytes, depth: int) -> bytes:
    start = b"<w:tbl><w:tblPr/><w:tblGrid><w:gridCol/></w:tblGrid><w:tr><w:tc>"
    inner = b"<w:p><w:r><w:t>innermost</w:t></w:r></w:p>"
    end = b"</w:tc></w:tr></w:tbl>"
    whole = start * depth + inner + (b"<w:p/>" + end) * depth
    return xml.replace(b"<w:sectPr", whole + b"<w:sectPr", 1)


def with_entities(xml: bytes) -> bytes:
    """Ten times ten times ten ... laughs, in place of a word."""
    parts = [b'<!ENTITY a "ha">']
    parts += [b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)]
    head = b'<?xml version="1.0"?><!DOCTYPE l [' + b"".join(parts) + b"]>"
    return head + xml.split(b"?>", 1)[1].replace(b"Lantern", b"&j;")


def test_tables_in_tables_are_read_and_a_bottomless_pit_is_set_aside(tmp_path: Path) -> None:
    text = content(docx(tmp_path / "some.docx", lambda xml: nested(xml, 20)))
    assert TEXT in text
    assert "innermost" in text
    deep = docx(tmp_path / "deep.docx", lambda xml: nested(xml, 10_000))
    assert reason(deep).startswith("damaged DOCX")
    assert reason(docx(tmp_path / "laughs.docx", with_entities)).startswith("damaged DOCX")


def test_links_that_lead_nowhere_are_ignored_and_told(tmp_path: Path) -> None:
    """Two pictures that are not there, one of them by a place from the root; a page of the web."""
    kind = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links = [(b"image", b"NULL", b""), (b"image", b"/word/media/gone.png", b""),
             (b"hyperlink", b"http://127.0.0.1/x", b' TargetMode="External"')]  # fmt: skip
    more = b"".join(
        b'<Relationship Id="rId90%d" Type="%s/%s" Target="%s"%s/>' % (i, kind, *link)
        for i, link in enumerate(links)
    )
    path = docx(
        tmp_path / "a.docx",
        lambda xml: xml.replace(b"</Relationships>", more + b"</Relationships>"),
        "word/_rels/document.xml.rels",
    )
    before = path.read_bytes()
    record = read(path)
    assert record["row"]["content"] == TEXT
    assert record["reasons"] == ["2 of its links lead to parts that it lacks: ignored"]
    assert path.read_bytes() == before


def test_hidden_sheets_and_formulas_that_nobody_computed_are_told(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    for row in (["Town", "Ships"], ["Osterly", "=SUM(1,2)"], ["Norrin", 7], ["All", "=B2+B3"]):
        sheet.append(row)
    sheet.merge_cells("A5:B6")
    sheet["A5"] = "Counted in May"
    secret = book.create_sheet("Rates & <fees>", 0)
    secret["A1"] = "hidden words"
    secret.sheet_state = "veryHidden"
    path = tmp_path / "a.xlsx"
    book.save(path)
    record = read(path)
    text = record["row"]["content"]
    assert "| Norrin | 7 |" in text
    assert "Counted in May" in text
    assert "hidden words" not in text
    sheets, formulas = record["reasons"]
    assert sheets == "sheet 'Rates & <fees>': hidden, left out"
    assert formulas.startswith("2 formulas have no stored result")


def test_formulas_with_results_are_read_in_silence(tmp_path: Path) -> None:
    """As a spreadsheet program stores them: a number, and an empty text."""
    from openpyxl import Workbook

    book, buffer, path = Workbook(), io.BytesIO(), tmp_path / "a.xlsx"
    for row in (["Town", "Ships"], ["Osterly", "=SUM(1,2)"], ["Norrin", '=""']):
        book.active.append(row)
    book.save(buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                data = data.replace(b"<v></v>", b"<v />").replace(b"<v/>", b"<v />")
                data = data.replace(b"</f><v />", b"</f><v>3</v>", 1)
                data = data.replace(b'r="B3"', b'r="B3" t="str"')
            new.writestr(name, data)
    record = read(path)
    assert "| Osterly | 3 |" in record["row"]["content"]
    assert record["reasons"] == []


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-8-sig"])
def test_chinese_pages_of_the_web_are_read_in_their_encoding(tmp_path: Path, encoding: str) -> None:
    page = f"<html><head><meta charset='{encoding}'></head><body><h1>灯笼桥</h1>"
    path = tmp_path / "a.html"
    path.write_bytes(f"{page}<p>灯笼桥有十九个桥拱。</p></body></html>".encode(encoding))
    assert content(path) == "# 灯笼桥\n\n灯笼桥有十九个桥拱。"


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_markdown_of_other_systems_reads_like_our_own(tmp_path: Path, ending: str) -> None:
    lines = ["\ufeff# Bridge", "", TEXT, "", "| a | b |", "| --- | --- |", "| 1 | 2 |"]
    path = tmp_path / "a.md"
    path.write_bytes(ending.join(lines).encode())
    assert content(path) == "\n".join(lines)[1:]


def png(width: int, height: int, *more: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    texts = b"".join(chunk(b"zTXt", b"note\0\0" + zlib.compress(text)) for text in more)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + head + texts + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [(png(30_000, 30_000), "pixels are more than 60,000,000"),
     (png(9_000, 9_000), "pixels are more than 60,000,000"),
     (png(80, 80, b"\0" * 80_000_000), "broken"),
     (png(0, 0), "broken")],
    ids=["gigapixel", "large", "text bomb", "nothing"],
)  # fmt: skip
def test_bombs_are_not_unpacked(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert words in reason(tmp_path / "a.png")


def test_pictures_of_rare_kinds_are_kept(tmp_path: Path) -> None:
    Image.new("CMYK", (200, 100), (0, 200, 200, 0)).save(tmp_path / "print.jpg")
    Image.new("I;16", (100, 100), 30_000).save(tmp_path / "grey.png")
    for name in ("print.jpg", "grey.png"):
        assert len(read(tmp_path / name)["row"]["extracted_images"]) == 1


def test_tiff_whose_frames_go_round_in_a_circle_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.new("RGB", (120, 90), "teal").save(path)
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[start : start + 2])
    end = start + 2 + 12 * entries
    data[end : end + 4] = struct.pack("<I", start)  # the next frame is the first one
    path.write_bytes(data)
    assert content(path).count("IMAGE_REF") == 1


def test_odd_names_are_files_like_others(tmp_path: Path) -> None:
    folder = tmp_path / "input"
    (folder / "folder.pdf").mkdir(parents=True)
    names = ["line\nbreak 🌉 名.txt", "é" * 120 + ".txt", "folder.pdf/a.txt", 'quote"[1](x)\\.txt']
    for name in names:
        (folder / name).write_text(f"{TEXT} {len(name)}")
    (folder / "back").symlink_to(".")
    jobs = {job.file_path: job for job in list_files(folder)}
    assert set(jobs) == {*names, "back"}
    assert jobs["back"].problem == "a link to a folder: not followed"
    for name in names:
        assert content(jobs[name].path) == f"{TEXT} {len(name)}"
