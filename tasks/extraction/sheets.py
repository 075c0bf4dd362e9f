"""What of a workbook does not become text: hidden sheets, and formulas that nobody has computed."""

from __future__ import annotations

import re
import zipfile
from html import unescape
from pathlib import Path

_SHEET = re.compile(rb"<sheet\b[^>]*>")
_HIDDEN = re.compile(rb"\bstate=\"(?:hidden|veryHidden)\"")
_NAME = re.compile(rb"\bname=\"([^\"]*)\"")
# A cell with a formula, and its stored result; of type `str` it may well be an empty text.
_FORMULA = re.compile(
    rb"<c\b(?P<cell>[^>]*)>\s*<f\b[^>]*?(?:/>|>[^<]*</f>)\s*(?P<result><v\b[^>/]*>[^<])?"
)


def left_out(path: Path) -> list[str]:
    """One line for each hidden sheet, and one for all formulas without a stored result."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        book = archive.read("xl/workbook.xml") if "xl/workbook.xml" in names else b""
        missing = sum(
            match["result"] is None and b't="str"' not in match["cell"]
            for name in sorted(names)
            if name.startswith("xl/worksheets/") and name.endswith(".xml")
            for match in _FORMULA.finditer(archive.read(name))
        )
    hidden = [
        unescape(found[1].decode("utf-8", "replace"))
        for tag in _SHEET.findall(book)
        if _HIDDEN.search(tag) and (found := _NAME.search(tag))
    ]
    lines = [f"sheet '{name}': hidden, left out" for name in hidden]
    if missing:
        lines.append(
            f"{missing} formulas have no stored result, so their cells are empty: open and save "
            "the workbook in a spreadsheet program"
        )
    return lines
