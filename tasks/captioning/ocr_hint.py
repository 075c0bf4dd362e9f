"""What OCR reads in a picture, as a hint beside it; kept, so that a resumed run reads on."""

from __future__ import annotations

import asyncio
import hashlib
from io import BytesIO
from pathlib import Path
from types import TracebackType

from configs.schema import CaptioningSettings
from tasks.storage import Journal

# Raised whenever the same picture would be read otherwise.
_VERSION = "caption-ocr-1"


class OcrHints:
    """Reads pictures one at a time: the engine is shared and fills a core.

    The embedded endpoint reads pictures by itself, so it gets no hint. Use it as a context
    manager.
    """

    def __init__(self, path: Path, settings: CaptioningSettings) -> None:
        self._journal = Journal(path, _VERSION)
        self._is_wanted = settings.ocr_hint and not settings.is_embedded
        self._turn = asyncio.Lock()

    def __enter__(self) -> OcrHints:
        if self._is_wanted:
            self._journal.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_wanted:
            self._journal.__exit__(kind, error, trace)

    async def read(self, jpeg: bytes) -> str:
        """Lines of text in a picture; empty where there are none, or no hint is wanted."""
        if not self._is_wanted:
            return ""
        key = hashlib.sha256(jpeg).hexdigest()
        async with self._turn:
            if key not in self._journal:
                lines = await asyncio.to_thread(_read, jpeg)
                self._journal.add(key, {"lines": lines})
        return "\n".join(self._journal.records[key]["lines"])

    def discard(self) -> None:
        """Remove what was kept, after the step's work is done."""
        self._journal.discard()


def _read(jpeg: bytes) -> list[str]:
    from PIL import Image

    from tasks.extraction.ocr import read_image

    with Image.open(BytesIO(jpeg)) as image:
        return read_image(image)
