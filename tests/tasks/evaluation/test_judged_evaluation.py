"""A judge over a whole evaluation: asked by a setting, told in the report, paid for once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from scripted_endpoint import Act, say, serve
from tiny_workspace import tiny_config, tiny_workspace

from configs.evaluation import JudgeSettings
from configs.schema import PipelineConfig
from tasks.evaluation.evaluate import evaluate, rescore
from tasks.evaluation.report import write_report
from tasks.storage import read_records, write_jsonl

QUESTIONS = 4


def judge_by_question(body: dict[str, Any], number: int) -> Act:
    """Calls answers to "right?" correct, those to "odd?" nothing that can be read."""
    request = body["messages"][1]["content"]
    if "odd?" in request:
        return say("Hard to tell.")
    return say(json.dumps({"correct": "right?" in request, "faithful": True, "reason": "so"}))


def test_judge_is_wired_from_the_setting_to_the_report(shared: Path, tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path, shared, questions=QUESTIONS)
    path = workspace.world / "benchmark" / "oracle.jsonl"
    rows = [{**row, "question": f"{row['question']} {word}"}
            for row, word in zip(read_records(path), ("right?", "wrong?", "odd?", "wrong?"),
                                 strict=True)]  # fmt: skip
    write_jsonl(path, rows)
    with serve(judge_by_question) as endpoint:
        settings = tiny_config(workspace).model_dump(mode="json")
        settings["evaluation"] |= {
            "systems": ["stage2"], "held_out": ["world"], "settings": ["oracle"],
            "reconstruction": {"passages": 0},
            "judge": {"enabled": True, "base_url": endpoint.url, "model": "wise"},
        }  # fmt: skip
        config = PipelineConfig.model_validate(settings)
        evaluate(config, workspace)
        place = tmp_path / "evaluations" / "systems"
        row = json.loads((place / "summary.json").read_text())["scores"][0]
        answers = [r["answer"] for r in read_records(
            place / "predictions/world.oracle.clara_stage2.jsonl")]  # fmt: skip
        assert all(answers)
        assert row["n"] == QUESTIONS
        assert row["metrics"]["judge.correct"]["value"] == pytest.approx(1 / 3, abs=1e-4)
        assert row["metrics"]["judge.correct"]["n"] == QUESTIONS - 1
        assert row["metrics"]["judge.faithful"]["value"] == 1.0
        asked = len(endpoint.bodies)
        assert asked == QUESTIONS + 1  # the unreadable one was asked for a repair
        evaluate(config, workspace)
        assert len(endpoint.bodies) == asked
    rescore(config, workspace)  # the server is gone
    page = write_report(config, workspace).read_text()
    assert "judge: correct" in page
    assert "the words of wise, a model" in page
    assert "1 answers got no judgement" in page


def test_rules_do_not_judge() -> None:
    with pytest.raises(ValidationError, match="base_url and model"):
        JudgeSettings(enabled=True)
