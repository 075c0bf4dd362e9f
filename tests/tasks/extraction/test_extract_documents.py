"""The extraction step on small real files, good and bad ones."""

from __future__ import annotations

import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont

from clara_model.errors import ConfigError, DataError
from configs.schema import PipelineConfig
from tasks.extraction import workers
from tasks.extraction.convert import extract_documents, journal_fingerprint
from tasks.extraction.files import list_files
from tasks.storage import Journal, read_records
from tasks.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]


def configure(folder, **extraction):
    return PipelineConfig.model_validate({"extraction": {"input": folder} | extraction})


def picture(colour="red", side=80):
    return Image.new("RGB", (side, side), colour)


def png(colour="red", side=80):
    buffer = io.BytesIO()
    picture(colour, side).save(buffer, "PNG")
    buffer.seek(0)
    return buffer


def scanned(text):
    image = Image.new("L", (1240, 600), 255)
    ImageDraw.Draw(image).text((80, 200), text, fill=0, font=ImageFont.load_default(48))
    return image.convert("RGB")


def make_pdf(path, *, pages=1, password=None, image=None, text="The Lantern Bridge has 19 arches."):
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path), encrypt=StandardEncryption(password) if password else None)
    for number in range(pages):
        if image is not None:
            canvas.drawImage(ImageReader(image), 0, 400, 595, 288)
        if text:
            canvas.drawString(72, 700, f"{text} Page {number + 1} of the booklet says so.")
        canvas.showPage()
    canvas.save()


def make_slow_pdf(path):
    """A page of so many operations that reading it takes far longer than the tests' limits."""
    write_pdf(path, b"BT /F1 9 Tf 72 700 Td " + b"(word) Tj 1 0 Td " * 400_000 + b"ET")


def write_pdf(path, stream, *, claimed_pages=1):
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count %d >>" % claimed_pages,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 6\n0000000000 65535 f \n"
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start
    path.write_bytes(data)


def make_docx(path):
    from docx import Document

    document = Document()
    document.add_heading("Harvest", 1)
    document.add_paragraph("The harvest of 2023 was 1,640 tonnes.")
    document.add_picture(png("green"))
    document.add_paragraph("After the picture.")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ("Product", "Tonnes", "Cider", "310"), strict=True):
        cell.text = text
    document.save(str(path))


def make_pptx(path):
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    for title, note in (("Captains", "Jorun Aske was born in Ravel Point."), ("Ferries", "")):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = title
        if note:
            slide.notes_slide.notes_text_frame.text = note
    group = slide.shapes.add_group_shape()
    group.shapes.add_picture(png("blue"), Inches(1), Inches(1))
    group.shapes.add_picture(png("yellow", 10), Inches(3), Inches(1))
    deck.save(str(path))


def make_xlsx(path):
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Prices"
    book.active.append(["Item", "Price"])
    book.active.append(["Tea", 12.5])
    book.save(path)


def fill(folder):
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden.txt").write_text("never read")
    (folder / "notes.txt").write_text("灯笼桥有十九个桥拱。", encoding="utf-8")
    make_docx(folder / "sub" / "harvest.docx")
    make_pptx(folder / "deck.pptx")
    make_xlsx(folder / "prices.xlsx")
    make_pdf(folder / "figure.pdf", image=picture("purple"))
    make_pdf(folder / "scan.pdf", image=scanned("The ferry sails at noon"), text="")
    picture("orange").save(folder / "photo.webp")
    make_pdf(folder / "bad_encrypted.pdf", password="secret")
    make_pdf(folder / "bad_blank.pdf", text="")
    make_pdf(folder / "bad_long.pdf", pages=6)
    whole = (folder / "figure.pdf").read_bytes()
    (folder / "bad_truncated.pdf").write_bytes(whole[: len(whole) // 3])
    write_pdf(folder / "bad_million.pdf", b"BT /F1 9 Tf (one page) Tj ET", claimed_pages=10**6)
    (folder / "bad_dangling.txt").symlink_to(folder / "nowhere")
    (folder / "bad_office.docx").write_bytes((folder / "deck.pptx").read_bytes())
    (folder / "bad_cut.pptx").write_bytes((folder / "deck.pptx").read_bytes()[:9000])
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("Its name is not UTF-8.")
    for kind, other in (("docx", "sub/harvest.docx"), ("pdf", "figure.pdf")):
        copy = folder / os.fsdecode(b"h\xf4tel." + kind.encode())
        copy.write_bytes((folder / other).read_bytes())
    (folder / os.fsdecode(b"h\xf4tel.html")).write_text("<h1>Hall</h1><p>It is open.</p>")
    (folder / "bad_empty.docx").write_bytes(b"")
    (folder / "bad_foreign.exe").write_bytes(b"MZ\x00\x01")
    (folder / "bad_label.pdf").write_bytes(png().getvalue())
    (folder / "bad_picture.png").write_bytes(png().getvalue()[:90])


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    base = tmp_path_factory.mktemp("extraction")
    fill(base / "input")
    workspace = Workspace(base / "workspace")
    result = extract_documents(configure(base / "input", max_pages=5), workspace)
    rows = {row["file_path"]: row for row in read_records(workspace.raw_knowledge)}
    return result, rows, workspace


def test_rows_are_sorted_and_hidden_files_left_out(extracted):
    _, rows, _ = extracted
    assert list(rows) == [
        "caf\ufffd.txt",
        "deck.pptx",
        "figure.pdf",
        "h\ufffdtel.docx",
        "h\ufffdtel.html",
        "h\ufffdtel.pdf",
        "notes.txt",
        "photo.webp",
        "prices.xlsx",
        "scan.pdf",
        "sub/harvest.docx",
    ]


def test_docx_keeps_heading_picture_and_table_in_their_order(extracted):
    _, rows, _ = extracted
    row = rows["sub/harvest.docx"]
    (name,) = row["extracted_images"]
    assert row["filename"] == "harvest.docx"
    assert row["content"].split("\n\n") == [
        "## Harvest",
        "The harvest of 2023 was 1,640 tonnes.",
        f"[IMAGE_REF: extracted_assets/{name}]",
        "After the picture.",
        "| Product | Tonnes |\n| --- | --- |\n| Cider | 310 |",
    ]


def test_pptx_keeps_notes_slides_and_grouped_pictures(extracted):
    result, rows, _ = extracted
    row = rows["deck.pptx"]
    assert "Jorun Aske was born in Ravel Point." in row["content"]
    assert len(row["extracted_images"]) == 1
    assert [number for number, _ in row["page_starts"]] == [1, 2]
    assert row["content"][row["page_starts"][1][1] :].startswith("# Ferries")
    assert any(r.item == "deck.pptx" and "decoration" in r.reason for r in result.rejects)


def test_pictures_tell_their_page_heading_and_box(extracted):
    _, rows, _ = extracted
    (slide,) = rows["deck.pptx"]["images"]
    assert (slide["page"], slide["heading"]) == (2, "Ferries")
    assert slide["box"][:2] == [72.0, 72.0]  # an inch from the left and the top
    (figure,) = rows["figure.pdf"]["images"]
    # Drawn at (0, 400), 595 x 288 points, on a page of 842 points.
    assert figure["page"] == 1
    assert figure["box"] == pytest.approx([0, 842 - 688, 595, 842 - 400], abs=1)
    (harvest,) = rows["sub/harvest.docx"]["images"]
    assert (harvest["heading"], harvest["page"], harvest["box"]) == ("Harvest", None, None)


def test_blocks_tell_their_box(extracted):
    _, rows, _ = extracted
    row = rows["figure.pdf"]
    place = next(p for p in row["places"] if row["content"][p[0] :].startswith("The Lantern"))
    left, top, right, bottom = place[2:]
    # The line's baseline is at 700 of 842 points, 72 from the left, in 12 points.
    assert place[1] == 1
    assert 71 < left < 73 < 300 < right
    assert 125 < top < 842 - 700 < bottom < 150


def test_xlsx_sheets_have_their_names(extracted):
    _, rows, _ = extracted
    assert rows["prices.xlsx"]["content"].startswith("## Prices\n\n| Item | Price |")


def test_pdf_picture_is_saved_and_marked(extracted):
    _, rows, workspace = extracted
    row = rows["figure.pdf"]
    (name,) = row["extracted_images"]
    assert "The Lantern Bridge has 19 arches." in row["content"]
    assert f"[IMAGE_REF: extracted_assets/{name}]" in row["content"].splitlines()
    assert Image.open(workspace.extracted_assets / name).convert("RGB").getpixel((40, 40)) == (
        128,
        0,
        128,
    )


def test_scanned_page_is_read_by_ocr(extracted):
    result, rows, _ = extracted
    assert "ferry sails at noon" in rows["scan.pdf"]["content"]
    assert result.counts["ocr_pages"] == 1


def test_standalone_picture_is_copied_and_marked(extracted):
    _, rows, workspace = extracted
    row = rows["photo.webp"]
    (name,) = row["extracted_images"]
    assert row["source_type"] == "image"
    assert row["content"] == f"[IMAGE_REF: extracted_assets/{name}]"
    assert (workspace.extracted_assets / name).is_file()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad_encrypted.pdf", "encrypted: the PDF needs a password"),
        ("bad_blank.pdf", "no text and no pictures found"),
        ("bad_long.pdf", "6 pages are more than extraction.max_pages 5"),
        ("bad_truncated.pdf", "truncated"),
        ("bad_empty.docx", "empty file"),
        ("bad_foreign.exe", "files of type '.exe' are not read"),
        ("bad_label.pdf", "mislabelled: named '.pdf' but holds a picture"),
        ("bad_picture.png", "broken or not a picture"),
        ("bad_million.pdf", "1000000 pages are more than extraction.max_pages 5"),
        ("bad_dangling.txt", "cannot be opened (No such file or directory)"),
        ("bad_office.docx", "mislabelled: named '.docx' but holds PPTX"),
        ("bad_cut.pptx", "truncated or damaged: not a complete Office file"),
    ],
)
def test_bad_files_are_rejected_with_a_reason(extracted, name, reason):
    result, rows, _ = extracted
    assert name not in rows
    (reject,) = (r for r in result.rejects if r.item == name)
    assert reject.step == "extract"
    assert reason in reject.reason


def test_counts_add_up(extracted):
    result, rows, workspace = extracted
    counts = result.counts
    assert counts["files"] == counts["documents"] + counts["images_standalone"] + counts["rejected"]
    assert (counts["documents"], counts["images_standalone"], counts["rejected"]) == (10, 1, 12)
    named = {name for row in rows.values() for name in row["extracted_images"]}
    assert {path.name for path in workspace.extracted_assets.iterdir()} == named
    assert not list(workspace.progress.iterdir())


def test_missing_and_empty_inputs_are_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        list_files(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no files"):
        list_files(tmp_path)


def test_input_without_any_readable_file_fails(tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 files .* empty file"):
        extract_documents(configure(tmp_path / "input"), Workspace(tmp_path / "workspace"))


def test_finished_files_come_from_the_journal_and_changed_ones_do_not(tmp_path):
    source = tmp_path / "input"
    source.mkdir()
    for name in ("a.txt", "b.txt", "over.txt", "raised.txt"):
        (source / name).write_text(f"text of {name}")
    config, workspace = configure(source), Workspace(tmp_path / "workspace")
    settings = config.extraction
    jobs = {job.file_path: job for job in list_files(source)}
    with Journal(workspace.progress / "extract.jsonl", journal_fingerprint(settings)) as journal:
        for name in ("a.txt", "b.txt"):
            row = {"file_path": name, "content": "from the journal", "extracted_images": []}
            record = {"row": row | {"source_type": "document"}, "reasons": [], "stats": {}}
            journal.add(f"{name}:{jobs[name].sha256}", record)
        for name, limits in (
            ("over.txt", [settings.timeout_s, settings.memory_mb]),
            ("raised.txt", [settings.timeout_s / 2, settings.memory_mb]),
        ):
            record = {"row": None, "reasons": ["took longer"], "stats": {}, "limits": limits}
            journal.add(f"{name}:{jobs[name].sha256}", record)
    (source / "b.txt").write_text("changed since")
    result = extract_documents(config, workspace)
    contents = [row["content"] for row in read_records(workspace.raw_knowledge)]
    assert contents == ["from the journal", "changed since", "text of raised.txt"]
    assert [(r.item, r.reason) for r in result.rejects] == [("over.txt", "took longer")]


@pytest.fixture
def slow_input(tmp_path):
    source = tmp_path / "input"
    source.mkdir()
    make_slow_pdf(source / "b_slow.pdf")
    for name in ("a.txt", "c.txt"):
        (source / name).write_text(f"text of {name}")
    return source


def extract_slow(source, tmp_path, **settings):
    config = configure(source, **settings)
    config = config.model_copy(
        update={"execution": config.execution.model_copy(update={"workers": 1})}
    )
    workspace = Workspace(tmp_path / "workspace")
    result = extract_documents(config, workspace)
    assert [r["file_path"] for r in read_records(workspace.raw_knowledge)] == ["a.txt", "c.txt"]
    (reject,) = result.rejects
    assert reject.item == "b_slow.pdf"
    return reject.reason


def test_file_over_the_time_limit_is_rejected_and_the_run_goes_on(slow_input, tmp_path):
    assert "extraction.timeout_s 1" in extract_slow(slow_input, tmp_path, timeout_s=1.0)


@pytest.mark.slow
def test_file_over_the_memory_limit_is_rejected_and_the_run_goes_on(slow_input, tmp_path):
    assert "extraction.memory_mb 100" in extract_slow(slow_input, tmp_path, memory_mb=100)


@pytest.mark.slow
def test_crash_of_a_worker_rejects_its_file_and_the_run_goes_on(slow_input, tmp_path, monkeypatch):
    send = workers._send

    def send_and_kill(worker, job):
        send(worker, job)
        if job.file_path == "b_slow.pdf":
            worker.process.kill()

    monkeypatch.setattr(workers, "_send", send_and_kill)
    assert "crashed (exit code -9)" in extract_slow(slow_input, tmp_path, timeout_s=300.0)


@pytest.mark.slow
def test_killed_run_continues_and_leaves_no_processes(slow_input, tmp_path, caplog):
    root = tmp_path / "workspace"
    options = ["extraction.input", str(slow_input), str(root)]
    script = (
        "import sys; from pathlib import Path; from configs.schema import PipelineConfig;"
        "from tasks.extraction.convert import extract_documents;"
        "from tasks.workspace import Workspace;"
        "extract_documents(PipelineConfig.model_validate({'extraction': {'input': sys.argv[2]},"
        "'execution': {'workers': 2}}), Workspace(Path(sys.argv[3])))"
    )
    run = subprocess.Popen([sys.executable, "-c", script, *options], cwd=ROOT)
    journal = root / "progress" / "extract.jsonl"
    try:
        deadline = time.monotonic() + 120
        while not (journal.is_file() and len(journal.read_text().splitlines()) > 1):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        children = psutil.Process(run.pid).children(recursive=True)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    (slow_input / "b_slow.pdf").unlink()
    with caplog.at_level(logging.INFO):
        extract_documents(configure(slow_input), Workspace(root))
    assert "of 2 files are done" in caplog.text
    assert len(read_records(Workspace(root).raw_knowledge)) == 2
    for child in children:
        if child.is_running():
            child.kill()


@pytest.mark.slow
def test_given_documents_all_come_out(shared, tmp_path):
    source = tmp_path / "documents"
    shutil.copytree(shared / "documents", source)
    workspace = Workspace(tmp_path / "workspace")
    result = extract_documents(configure(source), workspace)
    rows = {row["filename"]: row for row in read_records(workspace.raw_knowledge)}
    assert result.counts["rejected"] == 0
    assert len(rows) == result.counts["files"] == len(list(source.iterdir()))
    assert "| Special register | Corresponding value |" in rows["redp5110_sampled.pdf"]["content"]
    assert "© Copyright IBM" not in rows["redp5110_sampled.pdf"]["content"]
    assert "self-contained package" in rows["ocr_test.pdf"]["content"].replace(
        "self contained", "self-contained"
    )
    assert "Freshwater Ducks" in rows["pptx_chart.pptx"]["content"]
    table = rows["2305.03393v1-pg9.pdf"]["content"]
    assert "| 6 | 6 | HTML | 0.969 | 0.927 | 0.955 | 0.857 | 5.39 |" in table


def test_documents_without_any_picture_leave_an_empty_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.md").write_text("# Pears\n\nThe pear trees of Tamsin bloom in May.\n")
    workspace = Workspace(tmp_path / "workspace")
    result = extract_documents(configure(tmp_path / "in"), workspace)
    assert result.counts["documents"] == 1
    assert list(workspace.extracted_assets.iterdir()) == []
