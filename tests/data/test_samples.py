"""The checked-in sample documents: complete, readable, small, and in agreement with their docs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "data" / "samples"
MAKER = ROOT / "tests" / "fixtures" / "samples"
SCAN = SAMPLES / "norrin_shipyard_letter_scan.pdf"
NAMES = sorted(path.name for path in SAMPLES.iterdir())
TEXTS = sorted(path.stem for path in (MAKER / "texts").glob("*.md"))
DOCS = (ROOT / "docs" / "samples.md").read_text(encoding="utf-8")
# | question | answer | fact | `file` | fact | `file` |
HOPS = re.findall(
    r"^\| [^|]+\? \| ([^|]+) \| ([^|]+) \| `([^|]+)` \| ([^|]+) \| `([^|]+)` \|$", DOCS, re.M
)


class PageText(HTMLParser):
    """Collects the words of a page, without tags."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read_pdf(path: Path) -> str:
    """The text layer of a PDF."""
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)


def read_docx(path: Path) -> str:
    """Every paragraph of a Word file, those in tables too."""
    import docx

    return "\n".join(
        node.text or "" for node in docx.Document(str(path)).element.iter() if is_text(node)
    )


def read_pptx(path: Path) -> str:
    """Every paragraph of a presentation, those in tables and notes too."""
    import pptx

    slides = pptx.Presentation(str(path)).slides
    parts = [part for slide in slides for part in (slide.element, slide.notes_slide.element)]
    return "\n".join(node.text or "" for part in parts for node in part.iter() if is_text(node))


def is_text(node: object) -> bool:
    """Whether an XML node is a run of text."""
    return str(getattr(node, "tag", "")).endswith("}t")


def read_html(path: Path) -> str:
    """The words of a web page."""
    page = PageText()
    page.feed(path.read_text(encoding="utf-8"))
    return "\n".join(page.words)


def read_sample(path: Path) -> str:
    """The text of a sample by its suffix, with all white space removed."""
    readers = {".pdf": read_pdf, ".docx": read_docx, ".pptx": read_pptx, ".html": read_html}
    read = readers.get(path.suffix, lambda found: found.read_text(encoding="utf-8"))
    return squeeze(read(path))


def squeeze(text: str) -> str:
    """Without white space, so that line ends do not matter; pdfium marks a line's end hyphen."""
    return re.sub(r"\s+", "", text.replace("\r\n", "\n").replace("\ufffe", "-"))


def load_blocks() -> ModuleType:
    """The parser of the texts, which lives beside the maker and not in a package."""
    spec = importlib.util.spec_from_file_location("sample_blocks", MAKER / "blocks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def pieces(name: str) -> Iterator[str]:
    """Every sentence, list item and table cell of a text."""
    for block in load_blocks().read_blocks(name):
        yield from (cell for row in block.rows for cell in row)
        yield from block.items
        if block.kind != "picture":
            yield block.text


def ocr(image: Image.Image) -> str:
    """What RapidOCR reads, without white space."""
    import numpy as np

    engine = pytest.importorskip("rapidocr").RapidOCR(params={"Global.log_level": "error"})
    return squeeze("".join(engine(np.asarray(image.convert("RGB"))[:, :, ::-1].copy()).txts))


def test_all_kinds_of_documents_are_there() -> None:
    kinds = Counter(Path(name).suffix for name in NAMES)
    assert kinds == {".pdf": 6, ".docx": 3, ".pptx": 2, ".html": 1, ".md": 3, ".png": 1, ".jpg": 1}


def test_two_documents_are_in_chinese() -> None:
    chinese = [name for name in NAMES if Path(name).stem.endswith("_zh")]
    assert len(chinese) == 2
    for name in chinese:
        assert len(re.findall(r"[\u4e00-\u9fff]", read_sample(SAMPLES / name))) > 500


def test_the_samples_stay_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 2_000_000


def test_the_docs_list_exactly_the_files_there() -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", DOCS, re.M)
    assert sorted(listed) == NAMES


def test_the_scanned_page_has_no_text_layer() -> None:
    assert read_pdf(SCAN).strip() == ""


def test_every_text_but_the_letter_has_its_document() -> None:
    stems = {Path(name).stem for name in NAMES}
    assert set(TEXTS) - stems == {"norrin_shipyard_letter"}


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "norrin_shipyard_letter"])
def test_a_document_holds_every_piece_of_its_text(name: str) -> None:
    path = next(path for path in SAMPLES.iterdir() if path.stem == name)
    text = read_sample(path)
    sentences = [part for piece in pieces(name) for part in re.split(r"(?<=\.) ", piece)]
    assert len(sentences) > 20
    assert [sentence for sentence in sentences if squeeze(sentence) not in text] == []


@pytest.mark.parametrize("name", ["rainfall_chart.png", "night_of_lamps_poster.jpg"])
def test_a_standalone_image_opens(name: str) -> None:
    with Image.open(SAMPLES / name) as image:
        image.load()
        assert min(image.size) >= 500


def read_letter_or_sample(name: str) -> str:
    """A sample's text; for the scan the text that was drawn (its OCR has its own test)."""
    letter = MAKER / "texts" / "norrin_shipyard_letter.md"
    return read_sample(letter if name == SCAN.name else SAMPLES / name)


def test_the_docs_name_ten_questions_that_need_two_documents() -> None:
    assert len(HOPS) == 10


@pytest.mark.parametrize(("answer", "first", "file", "second", "other_file"), HOPS)
def test_a_two_document_question_needs_its_second_document(
    answer: str, first: str, file: str, second: str, other_file: str
) -> None:
    one, other = read_letter_or_sample(file), read_letter_or_sample(other_file)
    assert squeeze(first) in one
    assert squeeze(second) in other
    assert squeeze(answer) in squeeze(second)
    assert squeeze(answer) not in one
    assert squeeze(first) not in other


@pytest.mark.slow
def test_ocr_reads_the_scanned_letter() -> None:
    import pypdfium2

    with pypdfium2.PdfDocument(SCAN) as document:
        text = ocr(document[0].render(scale=200 / 72).to_pil())
    sentences = [part for piece in pieces("norrin_shipyard_letter") for part in piece.split(". ")]
    missed = [sentence for sentence in sentences if squeeze(sentence) not in text]
    assert missed == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rainfall_chart.png", ["Ravel Point", "1,130", "Pellane", "620", "millimetres"]),
        ("night_of_lamps_poster.jpg", ["NIGHT OF LAMPS", "5 October 2024", "23:45"]),
    ],
)
def test_ocr_reads_the_standalone_images(name: str, words: list[str]) -> None:
    with Image.open(SAMPLES / name) as image:
        text = ocr(image)
    assert [word for word in words if squeeze(word) not in text] == []


@pytest.mark.slow
def test_the_maker_writes_the_same_documents_again(tmp_path: Path) -> None:
    pytest.importorskip("reportlab")
    pytest.importorskip("matplotlib")
    if not Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc").exists():
        pytest.skip("the Chinese font is not installed: apt-get install fonts-wqy-zenhei")
    subprocess.run([sys.executable, MAKER / "make.py", tmp_path], check=True, timeout=120)
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    for name in NAMES:
        if not name.endswith((".png", ".jpg")):  # pixels may differ between library versions
            assert read_sample(tmp_path / name) == read_sample(SAMPLES / name), name
