"""What a failed flow says, and that saying it adds no failure."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed, Failed

from flows import hooks
from flows.hooks import describe_failure, say_what_next
from flows.parts import load_flow


def failed(name: str, **parameters: Any) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), name="brave-otter", parameters=parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "command"),
    [
        ("pipeline", {"config": "configs/a b.yaml"}, "clara run 'configs/a b.yaml'"),
        ("train-stage2", {"config": "c.yaml", "overrides": ["a.b=1", "x=[1, 2]"]},
         "clara train stage2 --set a.b=1 --set 'x=[1, 2]' c.yaml"),
        ("mine", {"config": "c.yaml"}, "clara mine c.yaml"),
    ],
    ids=["pipeline", "stage", "step"],
)  # fmt: skip
def test_the_command_that_goes_on_is_given(
    name: str, parameters: dict[str, Any], command: str
) -> None:
    flow, state = load_flow(name), Failed(message="step 'mine' needs passages.jsonl")
    text = describe_failure(flow, failed(name, **parameters), state)
    assert command in text.splitlines()
    assert "step 'mine' needs passages.jsonl" in text
    assert "brave-otter" in text


def test_reports_that_fail_are_logged_and_the_next_one_is_tried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def unreachable(*_: object) -> None:
        raise OSError("no server")

    def notify(flow: Any, *_: object) -> None:
        told.append(flow.name)

    monkeypatch.setattr(hooks, "_write_page", unreachable)
    monkeypatch.setattr(hooks, "_notify", notify)
    monkeypatch.setattr(hooks, "flow_run_logger", lambda *_: logging.getLogger("hook"))
    say_what_next(load_flow("extract"), failed("extract", config="c.yaml"), Crashed())
    assert "clara extract c.yaml" in caplog.text
    assert "no server" in caplog.text
    assert told == ["extract"]


def test_a_stage_inside_a_pipeline_leaves_the_telling_to_it(tmp_path: Path) -> None:
    inner = failed("mine", config=str(tmp_path / "absent.yaml"))
    inner.parent_task_run_id = uuid4()
    hooks._notify(load_flow("mine"), inner, Failed())  # would not find its configuration
