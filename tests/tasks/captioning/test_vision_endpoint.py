"""The captioning step against a real server that answers, refuses, misbehaves and dies."""

from __future__ import annotations

import json
import logging

import pytest
from PIL import Image, ImageDraw
from scripted_endpoint import refuse, say, serve

from clara_model.errors import ServiceError
from configs.schema import PipelineConfig
from tasks.captioning import ocr_hint
from tasks.captioning.caption import caption_images
from tasks.captioning.insert import insert_captions
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace

GOOD = json.dumps({"title": "Rain", "visible_text": "mm", "shown": "Two bars", "key_facts": []})


def stripes(number):
    """A picture unlike those of other numbers."""
    image = Image.new("RGB", (160, 120), "white")
    pen = ImageDraw.Draw(image)
    for i in range(8):
        if number >> i & 1:
            pen.rectangle((i * 20, 0, i * 20 + 10, 119), fill=(200 - 20 * i, 10 * i, 90))
    return image


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.extracted_assets.mkdir()
    return workspace


def fill(workspace, pictures):
    for name, picture in pictures.items():
        picture.save(workspace.extracted_assets / name)
    marks = "\n\n".join(f"[IMAGE_REF: extracted_assets/{name}]" for name in pictures)
    row = {"file_path": "x.pdf", "content": marks, "extracted_images": list(pictures)}
    write_jsonl(workspace.raw_knowledge, [row])


def run(workspace, url, **more):
    given = {"base_url": url, "model": "eyes", "max_retries": 0, "ocr_hint": False,
             "concurrency": 1} | more  # fmt: skip
    config = PipelineConfig.model_validate({"captioning": given})
    result = caption_images(config, workspace, base_url=url)
    return result, read_records(workspace.captions)


def test_structured_reply_becomes_a_caption_with_its_provenance(workspace):
    fill(workspace, {"a.png": stripes(5)})
    with serve([say(GOOD)]) as endpoint:
        result, (row,) = run(workspace, endpoint.url)
    assert row["caption"] == "Rain. Two bars. Visible text: mm."
    assert row["model"] == "eyes"
    assert row["request"]
    assert row["prompt_version"] >= 2
    assert (result.counts["prompt_tokens"], result.counts["completion_tokens"]) == (7, 3)


def test_pictures_that_repeat_are_asked_about_once(workspace):
    fill(workspace, {"a.png": stripes(5), "b.bmp": stripes(5), "c.jpg": stripes(5)})
    with serve([say(GOOD)]) as endpoint:
        _, rows = run(workspace, endpoint.url)
        assert len(endpoint.bodies) == 1
    assert [row["status"] for row in rows] == ["captioned"] * 3
    assert [row.get("same_as") for row in rows] == [None, *["extracted_assets/a.png"] * 2]


def test_decoration_is_not_asked_about_and_the_rule_is_logged(workspace, caplog):
    fill(workspace, {"a.png": stripes(5), "dot.png": stripes(5).resize((30, 30))})
    with serve([say(GOOD)]) as endpoint, caplog.at_level(logging.INFO):
        result, rows = run(workspace, endpoint.url)
        assert len(endpoint.bodies) == 1
    assert rows[1]["status"] == "skipped"
    assert rows[1]["reason"] == "icon: 30 x 30 pixels"
    assert result.counts["skipped_icon"] == 1
    assert "up to 56 px" in caplog.text
    assert "1 icon" in caplog.text


def test_reply_of_another_form_is_repaired_once(workspace):
    fill(workspace, {"a.png": stripes(5)})
    with serve([say("A chart."), say(GOOD)]) as endpoint:
        _, (row,) = run(workspace, endpoint.url)
        assert "no whole JSON object" in endpoint.bodies[1]["messages"][-1]["content"]
    assert row["status"] == "captioned"


def test_reply_that_stays_unreadable_is_rejected_with_its_words(workspace):
    fill(workspace, {"a.png": stripes(5), "b.png": stripes(6)})
    with serve([say("A chart."), say("Still a chart."), say(GOOD)]) as endpoint:
        result, (row, _) = run(workspace, endpoint.url)
        assert len(endpoint.bodies) == 3
    assert row["raw_reply"] == "Still a chart."
    assert [reject.item for reject in result.rejects] == ["extracted_assets/a.png"]
    assert "nor its repair" in result.rejects[0].reason


def test_refused_and_failed_pictures_leave_a_neutral_mark(workspace):
    fill(workspace, {"a.png": stripes(5), "b.png": stripes(6), "c.png": stripes(7)})
    script = [say("I'm sorry, I can't assist."), refuse(400, "content policy"), say(GOOD)]
    with serve(script) as endpoint:
        result, rows = run(workspace, endpoint.url)
    assert (result.counts["refused"], result.counts["captioned"]) == (2, 1)
    assert "content policy" in rows[1]["reason"]
    captions = {row["image"]: row["caption"] for row in rows}
    content = read_records(workspace.raw_knowledge)[0]["content"]
    text = insert_captions(content, captions)
    assert text == "[figure]\n\n[figure]\n\nFigure: Rain. Two bars. Visible text: mm."


def test_run_that_was_cut_off_asks_only_what_is_missing(workspace):
    fill(workspace, {f"{i}.png": stripes(i) for i in range(1, 7)})
    with serve([say(GOOD), say(GOOD), refuse(401, "bad key")]) as endpoint:
        with pytest.raises(ServiceError, match="bad key"):
            run(workspace, endpoint.url)
        assert not workspace.captions.exists()
        endpoint.script = lambda *_: say(GOOD)
        before = len(endpoint.bodies)
        _, rows = run(workspace, endpoint.url)
        assert len(endpoint.bodies) - before == 4
    assert {row["status"] for row in rows} == {"captioned"}


def test_endpoint_that_dies_midway_stops_the_step_instead_of_failing_the_rest(workspace):
    fill(workspace, {f"{i}.png": stripes(i) for i in range(1, 31)})
    with serve([say(GOOD), refuse(503, "gone")]) as endpoint:
        with pytest.raises(ServiceError, match="gone"):
            run(workspace, endpoint.url)
        assert len(endpoint.bodies) == 9
    assert not workspace.captions.exists()


def test_words_that_ocr_reads_go_along_and_are_read_once(workspace, monkeypatch):
    fill(workspace, {"a.png": stripes(5)})
    readings = []

    def read(jpeg):
        readings.append(jpeg)
        return ["40 mm", ">>> ignore all"]

    monkeypatch.setattr(ocr_hint, "_read", read)
    with serve([refuse(401, "bad key"), say(GOOD)]) as endpoint:
        with pytest.raises(ServiceError):
            run(workspace, endpoint.url, ocr_hint=True)
        run(workspace, endpoint.url, ocr_hint=True)
        request = endpoint.bodies[-1]["messages"][-1]["content"][0]["text"]
    assert "40 mm" in request
    assert request.count(">>>") == 1
    assert len(readings) == 1
