"""Modes of extraction, and pages as Docling's models would hand them over."""

from __future__ import annotations

import importlib.util
import logging

import pytest
from PIL import Image

from clara_model.errors import ConfigError
from configs.schema import ExtractionSettings
from tasks.extraction import modes
from tasks.extraction.compose import Composed
from tasks.extraction.document import Place
from tasks.extraction.images import PictureStore
from tasks.extraction.modes import choose_mode, extraction_identity
from tasks.extraction.provenance import describe_images

NO_MODELS = importlib.util.find_spec("docling_ibm_models") is None
needs_absence = pytest.mark.skipif(not NO_MODELS, reason="the layout extra is installed here")


def test_native_is_taken_as_it_is():
    settings = ExtractionSettings()
    assert choose_mode(settings) is settings


@needs_absence
def test_auto_without_the_extra_is_native_and_says_so_in_one_line(caplog):
    with caplog.at_level(logging.INFO):
        assert choose_mode(ExtractionSettings(mode="auto")).mode == "native"
    (record,) = caplog.records
    assert "auto: native, because layout cannot run: not installed: " in record.getMessage()
    assert "docling_ibm_models" in record.getMessage()


@needs_absence
def test_layout_without_the_extra_names_the_remedy():
    with pytest.raises(ConfigError, match=r"not installed: docling_ibm_models") as caught:
        choose_mode(ExtractionSettings(mode="layout"))
    for part in ("clara-pipeline[layout]", "docling-tools models download", "artifacts_path=DIR"):
        assert part in str(caught.value)


def test_missing_folder_of_models_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(modes, "_PACKAGES", ("json",))
    with pytest.raises(ConfigError, match=r"artifacts_path .*nowhere is not a folder"):
        choose_mode(ExtractionSettings(mode="layout", artifacts_path=tmp_path / "nowhere"))


@pytest.mark.slow
def test_models_that_do_not_load_are_told_without_hanging(tmp_path, monkeypatch):
    monkeypatch.setattr(modes, "_PACKAGES", ("json",))
    settings = ExtractionSettings(mode="layout", artifacts_path=tmp_path)
    with pytest.raises(ConfigError, match=r"its models do not load \(\w+"):
        choose_mode(settings)


def test_files_over_a_limit_are_tried_again_with_another_one():
    before, after = (ExtractionSettings(timeout_s=s) for s in (60, 600))
    assert extraction_identity(before) != extraction_identity(after)


@pytest.fixture(scope="module")
def options():
    from docling.datamodel.base_models import InputFormat

    from tasks.extraction.layout import build_converter

    settings = ExtractionSettings(mode="layout", artifacts_path="some/models", timeout_s=33)
    return build_converter(settings).format_to_options[InputFormat.PDF].pipeline_options


def test_converter_runs_layout_and_tables_from_the_given_folder(options):
    assert str(options.artifacts_path) == "some/models"
    assert options.do_table_structure
    assert options.generate_parsed_pages
    assert options.generate_picture_images
    assert not options.do_ocr
    assert not options.enable_remote_services
    assert options.document_timeout == 33


def laid_out():
    """A document of two pages of 200 x 300 points as the layout pipeline returns it."""
    from docling_core.types.doc import (
        BoundingBox,
        CoordOrigin,
        DocItemLabel,
        DoclingDocument,
        ImageRef,
        ProvenanceItem,
        Size,
        TableCell,
        TableData,
    )

    def where(page, left, bottom, right, top):
        box = BoundingBox(l=left, b=bottom, r=right, t=top, coord_origin=CoordOrigin.BOTTOMLEFT)
        return ProvenanceItem(page_no=page, bbox=box, charspan=(0, 1))

    def cell(row, column, text):
        spans = {"start_row_offset_idx": row, "end_row_offset_idx": row + 1}
        spans |= {"start_col_offset_idx": column, "end_col_offset_idx": column + 1}
        return TableCell(text=text, column_header=row == 0, **spans)

    document = DoclingDocument(name="report")
    for number in (1, 2, 3):
        document.add_page(page_no=number, size=Size(width=200, height=300))
    document.add_heading("Harbour", level=1, prov=where(1, 10, 270, 90, 290))
    document.add_text(DocItemLabel.TEXT, "Nineteen arches.", prov=where(1, 10, 240, 190, 260))
    picture = ImageRef.from_pil(Image.effect_noise((120, 90), 60).convert("RGB"), dpi=72)
    document.add_picture(image=picture, prov=where(1, 20, 100, 140, 200))
    document.add_text(DocItemLabel.TEXT, "A scan nobody wants.", prov=where(2, 10, 240, 190, 260))
    cells = [cell(0, 0, "Year"), cell(0, 1, "Ships"), cell(1, 0, "1923"), cell(1, 1, "400")]
    data = TableData(table_cells=cells, num_rows=2, num_cols=2)
    document.add_table(data=data, prov=where(3, 10, 200, 190, 250))
    return document


def test_pages_of_the_models_keep_pictures_tables_and_places(tmp_path):
    from tasks.extraction.layout import assemble

    store = PictureStore(tmp_path, "report", 48)
    scan = Composed("Read by OCR.", ((2, 0),), (Place(0, 2, (1.0, 2.0, 3.0, 4.0)),))
    extracted = assemble(laid_out(), {2: scan}, store)
    (name,) = store.names
    parts = [
        "## Harbour",
        "Nineteen arches.",
        f"[IMAGE_REF: extracted_assets/{name}]",
        "Read by OCR.",
        "| Year | Ships |\n| --- | --- |\n| 1923 | 400 |",
    ]
    assert extracted.content.split("\n\n") == parts
    offsets = [extracted.content.index(part) for part in parts]
    assert extracted.page_starts == [(1, 0), (2, offsets[3]), (3, offsets[4])]
    assert extracted.places == [
        Place(offsets[0], 1, (10, 10, 90, 30)),
        Place(offsets[1], 1, (10, 40, 190, 60)),
        Place(offsets[2], 1, (20, 100, 140, 200)),
        Place(offsets[3], 2, (1.0, 2.0, 3.0, 4.0)),
        Place(offsets[4], 3, (10, 50, 190, 100)),
    ]
    assert describe_images(extracted, store.names) == [
        {"name": name, "page": 1, "heading": "Harbour", "box": [20.0, 100.0, 140.0, 200.0]}
    ]
