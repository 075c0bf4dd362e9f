"""Markdown, HTML and plain text: read as they are, their pictures only from below the input."""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from clara_model.errors import DataError
from tasks.extraction.decode import decode_text
from tasks.extraction.document import Extracted
from tasks.extraction.images import Picture, PictureStore, check_picture

_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(\s*<?(?P<src>[^)\s>]+)>?(\s+[\"'][^)]*[\"'])?\s*\)")
_TAG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\b(src|alt)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = re.compile(
    r"(^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z))", re.M | re.S
)
_MARK = re.compile(r"\[IMAGE_REF: extracted_assets/[^\]]+\]")
_DATA = re.compile(r"^data:image/[\w.+-]+;base64,", re.IGNORECASE)


class LinkedPictures:
    """Reads the pictures that a text file refers to: from below one folder, never from the net."""

    def __init__(self, file: Path, root: Path, store: PictureStore) -> None:
        self.folder = file.parent
        self.root = root.resolve()
        self.store = store
        self.count = 0

    def take(self, source: str, alt: str) -> str:
        """The mark for one reference, followed by its alternative text where that says more."""
        self.count += 1
        shown = source if len(source) <= 80 else source[:77] + "..."
        text = self.store.add(self._read(source), f"picture {self.count} ({shown})")
        alt = " ".join(alt.split())
        told = alt if " " in alt or re.search(r"[\u4e00-\u9fff]{4}", alt) else ""
        return "\n\n" + "\n\n".join(part for part in (text, told) if part) + "\n\n"

    def _read(self, source: str) -> Picture:
        if _DATA.match(source):
            try:
                return check_picture(base64.b64decode(source.split(",", 1)[1], validate=False))
            except (binascii.Error, ValueError) as err:
                return Picture(reason=f"broken data URI ({err})")
        parts = urlsplit(source)
        if parts.scheme or parts.netloc:
            return Picture(reason="on another machine: not fetched")
        path = (self.folder / unquote(parts.path)).resolve()
        if not path.is_relative_to(self.root):
            return Picture(reason="outside of the input folder: not read")
        if not path.is_file():
            return Picture(reason="missing file")
        if path.suffix.lower() == ".svg":
            return Picture(reason="SVG vector graphics cannot be read")
        return check_picture(path.read_bytes())


def read_text(path: Path) -> Extracted:
    """Plain text, unchanged."""
    text = decode_text(path.read_bytes()).strip()
    return Extracted(content=text, problems=_broken(text))


def read_markdown(path: Path, pictures: LinkedPictures) -> Extracted:
    """Markdown, unchanged but for its pictures and comments; code is left alone."""
    text = decode_text(path.read_bytes())
    problems = _broken(text)
    parts = []
    last = 0
    for fence in _FENCE.finditer(text):
        parts += [_replace_images(text[last : fence.start()], pictures), fence.group()]
        last = fence.end()
    parts.append(_replace_images(text[last:], pictures))
    return Extracted(content=isolate_marks("".join(parts)), problems=problems)


def _broken(text: str) -> list[str]:
    count = text.count("\ufffd")
    return [f"{count} signs are broken: neither UTF-8 nor anything else"] if count else []


def _replace_images(text: str, pictures: LinkedPictures) -> str:
    text = _COMMENT.sub("", text)
    text = _IMAGE.sub(lambda m: pictures.take(m["src"], m["alt"]), text)
    return _TAG.sub(lambda m: _from_tag(m.group(), pictures), text)


def _from_tag(tag: str, pictures: LinkedPictures) -> str:
    found = {m[1].lower(): m[2].strip("\"'") for m in _ATTRIBUTE.finditer(tag)}
    return pictures.take(found["src"], found.get("alt", "")) if "src" in found else ""


def read_html(path: Path, pictures: LinkedPictures) -> Extracted:
    """HTML through Docling; pictures are replaced by marks before it sees them.

    Raises:
        DataError: If Docling cannot read it.
    """
    from io import BytesIO

    from bs4 import BeautifulSoup
    from docling.datamodel.base_models import DocumentStream

    source = decode_text(path.read_bytes())
    soup = BeautifulSoup(source, "html.parser")
    for tag in soup(["script", "style", "noscript", "template", "nav"]):
        tag.decompose()
    tokens: dict[str, str] = {}
    for tag in soup(["img"]):
        token = f"CLARAPICTURE{len(tokens):06d}X"
        tokens[token] = pictures.take(str(tag.get("src") or ""), str(tag.get("alt") or ""))
        tag.replace_with(f" {token} ")
    stream = DocumentStream(name="page.html", stream=BytesIO(str(soup).encode()))
    result = _html_converter().convert(stream, raises_on_error=False)
    if result.status.value not in ("success", "partial_success"):
        reasons = "; ".join(e.error_message for e in result.errors if e.error_message)
        raise DataError(f"damaged HTML: {reasons or result.status.value}")
    content = result.document.export_to_markdown(
        escape_html=False, escape_underscores=False, compact_tables=True
    )
    for token, text in tokens.items():
        content = content.replace(token, text)
    return Extracted(content=isolate_marks(tidy_tables(content)), problems=_broken(source))


@cache
def _html_converter() -> Any:
    from docling.datamodel.backend_options import HTMLBackendOptions
    from docling.datamodel.base_models import InputFormat
    from docling.document_converter import DocumentConverter, HTMLFormatOption

    # Docling would drop everything before the first heading as furniture.
    options = HTMLBackendOptions(infer_furniture=False, add_title=False)
    return DocumentConverter(
        allowed_formats=[InputFormat.HTML],
        format_options={InputFormat.HTML: HTMLFormatOption(backend_options=options)},
    )


_DELIMITER = re.compile(r"^:?-+:?$")


def tidy_tables(content: str) -> str:
    """Markdown tables without padding: their cells' text is all that counts."""
    return "\n".join(
        _tidy_row(line) if line.startswith("|") else line for line in content.split("\n")
    )


def _tidy_row(line: str) -> str:
    cells = [" ".join(cell.split()) for cell in line.strip().strip("|").split("|")]
    if all(_DELIMITER.match(cell) for cell in cells):
        cells = ["---"] * len(cells)
    return "| " + " | ".join(cells) + " |"


def isolate_marks(content: str) -> str:
    """Every image mark on a line of its own; those in table rows stand after their table."""
    lines: list[str] = []
    waiting: list[str] = []
    for line in content.split("\n"):
        marks = _MARK.findall(line)
        in_table = line.lstrip().startswith("|")
        if waiting and not in_table:
            lines += ["", *waiting]
            waiting = []
        if not marks or line.strip() == marks[0]:
            lines.append(line.strip() if marks else line)
        elif in_table:
            lines.append(_MARK.sub("", line))
            waiting += marks
        else:
            pieces = _MARK.split(line)
            for i, piece in enumerate(pieces):
                if piece.strip():
                    lines += [piece.strip(), ""]
                if i < len(marks):
                    lines += [marks[i], ""]
    lines += ["", *waiting] if waiting else []
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
