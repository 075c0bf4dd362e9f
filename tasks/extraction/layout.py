"""PDF to Markdown with Docling's layout and table models; OCR only where there is no text layer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from configs.schema import ExtractionSettings
from tasks.extraction.boxes import Box
from tasks.extraction.compose import Composed, compose
from tasks.extraction.docling_export import export, find_places, save_pictures
from tasks.extraction.document import Extracted
from tasks.extraction.images import PictureStore

_PICTURE_SCALE = 150 / 72


def read_layout(path: Path, settings: ExtractionSettings, store: PictureStore) -> Extracted:
    """Text, tables and pictures of a PDF as the models see them.

    Raises:
        DataError: If nothing of it can be read; the message is the reason to report.
    """
    from tasks.extraction.pdf import open_pdf

    document = open_pdf(path, settings.max_pages)
    try:
        result = _cached_converter(settings).convert(path, raises_on_error=False)
        errors = [f"page {e.page_no or '?'}: {e.error_message}" for e in result.errors]
        if result.status.value not in ("success", "partial_success"):
            raise DataError(f"damaged PDF: {'; '.join(errors) or result.status.value}")
        scans = _read_scans(document, _text_layers(result), settings, store)
    finally:
        document.close()
    extracted = assemble(result.document, scans, store)
    extracted.problems = errors
    return extracted


def build_converter(settings: ExtractionSettings) -> Any:
    """Docling's converter of PDFs with its layout and table models, and nothing else.

    Source:
        Docling 2.143, `PdfPipelineOptions` and "Model prefetching and offline usage" of its guide.
    """
    from docling.datamodel.base_models import InputFormat
    from docling.datamodel.pipeline_options import PdfPipelineOptions
    from docling.document_converter import DocumentConverter, PdfFormatOption

    options = PdfPipelineOptions(
        artifacts_path=settings.artifacts_path,
        document_timeout=settings.timeout_s,
        do_ocr=False,  # pages without text are read by the same engine as in native mode
        do_table_structure=True,
        generate_parsed_pages=True,
        generate_picture_images=True,
        images_scale=_PICTURE_SCALE,
    )
    return DocumentConverter(
        allowed_formats=[InputFormat.PDF],
        format_options={InputFormat.PDF: PdfFormatOption(pipeline_options=options)},
    )


@cache
def _cached_converter(settings: ExtractionSettings) -> Any:
    return build_converter(settings)


def load_models(settings: ExtractionSettings) -> None:
    """Load the models now, before the first file's clock runs.

    Raises:
        Exception: Of many kinds, if models are missing; see `modes.choose_mode`.
    """
    from docling.datamodel.base_models import InputFormat

    _cached_converter(settings).initialize_pipeline(InputFormat.PDF)


def _text_layers(result: Any) -> dict[int, list[Box]]:
    from tasks.extraction.pdf_words import words_of

    return {page.page_no: words_of(page.parsed_page) for page in result.pages if page.parsed_page}


def _read_scans(
    document: Any,
    layers: Mapping[int, list[Box]],
    settings: ExtractionSettings,
    store: PictureStore,
) -> dict[int, Composed]:
    """Pages whose text layer is of no use, read by OCR, by number."""
    from tasks.extraction.pdf import needs_ocr, read_page

    scans: dict[int, Composed] = {}
    for number in range(1, len(document) + 1) if settings.ocr else ():
        page = document[number - 1]
        words = layers.get(number, [])
        if needs_ocr(page, words):
            read, _ = read_page(page, number, words, settings, store)
            scans[number] = compose([read])
        page.close()
    return scans


def assemble(document: Any, scans: Mapping[int, Composed], store: PictureStore) -> Extracted:
    """A DoclingDocument's pages in their order, those read by OCR in place of Docling's."""
    extracted = Extracted(content="", num_ocr_pages=len(scans))
    save_pictures(document, store, skip=scans.keys())
    for number in sorted({*document.pages, *scans}):
        if number in scans:
            extracted.append_page(number, scans[number].content, scans[number].places)
        else:
            text = export(document, page_no=number)
            extracted.append_page(number, text, find_places(document, number, text))
    return extracted
