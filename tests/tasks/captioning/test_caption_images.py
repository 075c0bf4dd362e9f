"""The captioning step against the embedded endpoint, a real HTTP server."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFont

from clara_model.errors import ServiceError
from configs.schema import PipelineConfig
from tasks.captioning.caption import caption_images
from tasks.llm.embedded import serve_embedded
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def base_url():
    with serve_embedded() as url:
        yield url


def draw(text):
    image = Image.new("RGB", (500, 160), "white")
    ImageDraw.Draw(image).text((30, 50), text, fill="black", font=ImageFont.load_default(40))
    return image


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    assets = workspace.extracted_assets
    assets.mkdir()
    draw("Rain by month").save(assets / "a.png")
    draw("Rain by month").save(assets / "same.png", compress_level=1)
    (assets / "broken.png").write_bytes((assets / "a.png").read_bytes()[:200])
    rows = [
        {"file_path": "x.pdf", "extracted_images": ["a.png", "broken.png"]},
        {"file_path": "y.pdf", "extracted_images": ["same.png", "a.png"]},
    ]
    write_jsonl(workspace.raw_knowledge, rows)
    return workspace


def run(workspace, base_url, **captioning):
    config = PipelineConfig.model_validate(
        {"captioning": {"max_retries": 0, "timeout_s": 60.0} | captioning}
    )
    result = caption_images(config, workspace, base_url=base_url)
    return result, {row["image"]: row for row in read_records(workspace.captions)}


def test_pictures_are_captioned_once_each_and_broken_ones_rejected(workspace, base_url):
    result, rows = run(workspace, base_url)
    names = [f"extracted_assets/{name}" for name in ("a.png", "broken.png", "same.png")]
    assert list(rows) == names
    assert [row["status"] for row in rows.values()] == ["captioned", "failed", "captioned"]
    assert rows[names[2]]["same_as"] == names[0]
    assert "Rain by month" in rows[names[0]]["caption"]
    assert rows[names[0]]["caption"] == rows[names[2]]["caption"]
    assert rows[names[0]]["model"] == "embedded-rules"
    (reject,) = result.rejects
    assert (reject.step, reject.item) == ("caption", names[1])
    assert "broken or not a picture" in reject.reason
    assert (result.counts["distinct"], result.counts["failed"]) == (1, 1)


def test_second_run_needs_no_endpoint(workspace, base_url):
    first, rows = run(workspace, base_url)
    again, same = run(workspace, base_url)
    assert same == rows
    assert again.counts["captioned"] == first.counts["captioned"]
    assert again.counts["completion_tokens"] == 0


def test_disabled_captioning_skips_every_picture(workspace):
    result, rows = run(workspace, "http://127.0.0.1:9/v1", enabled=False)
    assert {row["status"] for row in rows.values()} == {"skipped"}
    assert result.counts["skipped"] == 3
    assert result.rejects == ()


def test_unknown_model_stops_the_step(workspace, base_url):
    with pytest.raises(ServiceError, match="does not exist"):
        run(workspace, base_url, model="gpt-nothing")
    assert not workspace.captions.exists()


def test_endpoint_that_never_answers_stops_the_step(workspace):
    with pytest.raises(ServiceError, match="no answer"):
        run(workspace, "http://127.0.0.1:9/v1")
    assert not workspace.captions.exists()
