"""Files are known by their content, and refused with a reason each."""

from __future__ import annotations

import io
import zipfile

import pytest

from clara_model.errors import DataError
from tasks.extraction.decode import decode_text
from tasks.extraction.sniff import sniff

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def archive(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as stream:
        for name in names:
            stream.writestr(name, b"x" * 10)
    return buffer.getvalue()


DOCX = archive("[Content_Types].xml", "word/document.xml")


def look(tmp_path, name, data, **limits):
    path = tmp_path / name
    path.write_bytes(data)
    return sniff(path, **{"max_file_mb": 1, "max_pages": 5} | limits)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.pdf", b"%PDF-1.4\n", "pdf"),
        ("a.PNG", PNG, "image"),
        ("a.png", b"\xff\xd8\xff\xe0" + bytes(50), "image"),
        ("a.docx", DOCX, "docx"),
        ("a.pptx", archive("ppt/presentation.xml"), "pptx"),
        ("a.md", b"# Title", "markdown"),
        ("a.txt", "灯笼桥".encode(), "text"),
        ("a.html", b"<p>no doctype</p>", "html"),
        ("noname", b"%PDF-1.4\n", "pdf"),
        ("noname", b"just words", "text"),
    ],
)
def test_kind_follows_content_and_name(tmp_path, name, data, kind):
    assert look(tmp_path, name, data) == kind


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"", "empty file"),
        ("a.pdf", PNG, "mislabelled: named '.pdf' but holds a picture"),
        ("a.docx", b"%PDF-1.4", "mislabelled: named '.docx' but holds PDF"),
        ("a.pdf", b"<!doctype html><p>not found", "mislabelled: named '.pdf' but holds HTML"),
        ("a.pdf", b"\x00\x01\x02", "not a PDF file: unknown binary content"),
        ("a.csv", b"a,b", "files of type '.csv' are not read"),
        ("a.docx", DOCX[:-30], "truncated or damaged"),
        ("a.docx", archive("hello.txt"), "a zip archive, not a document"),
        ("a.docx", OLE + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
        ("a.docx", OLE + bytes(100), "old binary Office format"),
        ("a.txt", b"x" * 1_100_000, "max_file_mb 1"),
        ("a.pptx", archive(*(f"ppt/slides/slide{i}.xml" for i in range(6))), "max_pages 5"),
    ],
)
def test_refused_files_get_a_reason_of_their_own(tmp_path, name, data, reason):
    with pytest.raises(DataError, match=reason.replace(".", r"\.")):
        look(tmp_path, name, data)


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("word/document.xml", bytes(21_000_000))
    with pytest.raises(DataError, match="unpacks to 21 MB"):
        look(tmp_path, "a.docx", buffer.getvalue())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_chinese_text_is_read_in_common_encodings(encoding):
    text = "灯笼桥是在一九六三年建成的，它有二百一十二盏灯。"
    assert decode_text(text.encode(encoding)) == text


def test_western_text_is_not_taken_for_chinese():
    assert decode_text("Café à la crème, déjà vu\r\n".encode("cp1252")).endswith("déjà vu\n")


def test_text_may_begin_like_another_format(tmp_path):
    assert look(tmp_path, "a.md", b"A PDF begins with %PDF-1.7.") == "markdown"
    assert look(tmp_path, "a.txt", b"PKZIP was a program.") == "text"


def test_traditional_chinese_is_read():
    text = "燈籠橋是在一九六三年建成的，它有二百一十二盞燈。"
    assert decode_text(text.encode("big5")) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("등불 다리는 1963년에 지어졌고 등이 이백열두 개 있다.", "euc_kr"),
        ("Мост фонарей был построен в 1963 году.", "cp1251"),
        ("提灯橋は一九六三年に建てられ、灯が二百十二ある。", "shift_jis"),
    ],
)
def test_text_that_would_come_out_garbled_is_refused(text, encoding):
    with pytest.raises(DataError, match="unknown encoding: save it as UTF-8"):
        decode_text(text.encode(encoding))


def test_a_few_broken_bytes_do_not_garble_the_rest():
    text = "The bridge’s lamps – all 212 – burn whale oil, says “The Gazette”."
    data = text.encode().replace(b"Gazette", b"Gaz\xe9tte")
    assert decode_text(data) == text.replace("Gazette", "Gaz\ufffdtte")
    chinese = "灯笼桥是在一九六三年建成的。"
    assert decode_text(chinese.encode()[:-1]) == chinese[:-1] + "\ufffd"
