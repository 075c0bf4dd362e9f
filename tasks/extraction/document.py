"""What reading one file yields, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Extracted:
    """Markdown of one document.

    `page_starts` holds (page or slide number, offset into `content`); `problems` what could not
    be read while the rest could.
    """

    content: str
    page_starts: list[tuple[int, int]] = field(default_factory=list)
    num_pages: int = 0
    num_ocr_pages: int = 0
    problems: list[str] = field(default_factory=list)
