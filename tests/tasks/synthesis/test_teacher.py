"""Teacher answers: by row, from the row's own documents, and never paid twice."""

from __future__ import annotations

import json

import pytest
from scripted_author import read
from scripted_endpoint import refuse, say, serve

from clara_model.errors import ServiceError
from configs.schema import PipelineConfig
from tasks.synthesis.teacher import teach
from tasks.workspace import Workspace

ROWS = [
    {"id": "r1", "question": "Who built the mill?", "docs": ["Tom Ash built it.", "It is wet."]},
    {"id": "r2", "question": "桥由谁设计？", "docs": ["下雨了。", "林海设计了桥。"]},
    {"id": "r3", "question": "What is a whale?", "docs": ["It is wet.", "Tom Ash built it."]},
]
SAID = {"Who built the mill?": "Tom Ash did.", "桥由谁设计？": "林海", "What is a whale?": ""}


def config(url, **options):
    settings = {
        "base_url": url, "model": "m", "teacher": True, "models": {"teacher": "wise"},
        "max_retries": 0, "concurrency": 1,
    }  # fmt: skip
    return PipelineConfig.model_validate({"synthesis": settings | options})


def good(body, _=0):
    return say(json.dumps({"answer": SAID[read(body).lists["questions"][0]]}))


def test_answers_come_from_the_teacher_with_the_rows_documents(tmp_path):
    with serve(good) as server:
        result = teach(ROWS, config(server.url), Workspace(tmp_path))
    assert result.answers == {
        "r1": "Tom Ash did.", "r2": "林海", "r3": "The documents do not say.",
    }  # fmt: skip
    assert result.requests.keys() == {"r1", "r2", "r3"}
    assert all(len(request) == 16 for request in result.requests.values())
    assert result.rejects == ()
    asked = [read(body) for body in server.bodies]
    assert [list(request.texts) for request in asked] == [row["docs"] for row in ROWS]
    assert {request.model for request in asked} == {"wise"}


def test_without_the_setting_nothing_is_asked(tmp_path):
    with serve(good) as server:
        result = teach(ROWS, config(server.url, teacher=False), Workspace(tmp_path))
    assert server.bodies == []
    assert (result.answers, result.requests, result.rejects) == ({}, {}, ())


def test_row_without_a_readable_answer_is_named(tmp_path):
    def script(body, _):
        return say("hm") if "mill" in read(body).lists["questions"][0] else good(body)

    with serve(script) as server:
        result = teach(ROWS, config(server.url), Workspace(tmp_path))
    assert sorted(result.answers) == ["r2", "r3"]
    (reject,) = result.rejects
    assert (reject.step, reject.item) == ("mine", "r1 teach")
    assert "hm" in reject.reason


def test_teacher_cut_off_asks_only_what_is_missing(tmp_path):
    def script(body, _):
        is_last = "whale" in read(body).lists["questions"][0]
        return refuse(401, "no such key") if is_last else good(body)

    with serve(script) as server:
        with pytest.raises(ServiceError):
            teach(ROWS, config(server.url), Workspace(tmp_path))
        asked = len(server.bodies)
        server.script = good
        result = teach(ROWS, config(server.url), Workspace(tmp_path))
    assert len(result.answers) == 3
    assert [read(body).lists["questions"][0] for body in server.bodies[asked:]] == [
        "What is a whale?"
    ]


def test_embedded_endpoint_teaches_from_the_documents(tmp_path):
    settings = PipelineConfig.model_validate({"synthesis": {"teacher": True}})
    row = {
        "id": "r", "question": "Who designed the Lantern Bridge?",
        "docs": ["Auk Tidal Power employs 85 people.",
                 "The Lantern Bridge was designed by Ivo Tarn."],
    }  # fmt: skip
    other = row | {"id": "o", "question": "How heavy is a whale?"}
    result = teach([row, other], settings, Workspace(tmp_path))
    assert result.answers == {"r": "Ivo Tarn", "o": "The documents do not say."}
