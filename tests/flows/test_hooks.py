"""What a failed flow says, and that saying it adds no failure."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed, Failed

from flows import hooks
from flows.hooks import describe_failure, say_what_next
from flows.parts import load_flow
from tasks.housekeeping import redact


def failed(name: str, **parameters: Any) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), name="brave-otter", parameters=parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "command"),
    [
        ("pipeline", {"config": "configs/a b.yaml"}, "clara run 'configs/a b.yaml'"),
        ("train-stage2", {"config": "c.yaml", "overrides": ["a.b=1", "x=[1, 2]"]},
         "clara train stage2 --set a.b=1 --set 'x=[1, 2]' c.yaml"),
        ("mine", {"config": "c.yaml"}, "clara mine c.yaml"),
        ("mine", {"config": "c.yaml", "force": True, "downstream": True},
         "clara mine --downstream c.yaml"),
    ],
    ids=["pipeline", "stage", "step", "downstream"],
)  # fmt: skip
def test_the_command_that_goes_on_is_given(
    name: str, parameters: dict[str, Any], command: str
) -> None:
    flow, state = load_flow(name), Failed(message="step 'mine' needs passages.jsonl")
    text = describe_failure(flow, failed(name, **parameters), state)
    assert command in text.splitlines()
    assert "step 'mine' needs passages.jsonl" in text
    assert "brave-otter" in text


@pytest.mark.parametrize(
    ("name", "overrides", "deployment"),
    [
        ("pipeline", ["execution.dispatch=deployments", "seed=1"], "pipeline/pipeline-dispatched"),
        ("pipeline", ["seed=1"], "pipeline/pipeline"),
        ("mine", ["execution.dispatch=deployments"], "mine/mine"),
    ],
)
def test_the_deployment_that_goes_on_is_named_with_its_parameters(
    name: str, overrides: list[str], deployment: str
) -> None:
    given = {"config": "a b.yaml", "overrides": overrides, "force": True}
    text = describe_failure(load_flow(name), failed(name, **given), Failed())
    (line,) = [line for line in text.splitlines() if line.startswith("prefect deployment run")]
    words = shlex.split(line)
    assert words[3] == deployment
    assert words[4] == "--params"
    assert json.loads(words[5]) == {"config": "a b.yaml", "overrides": overrides}
    assert "`--force` does again" in text


def test_a_key_in_an_exceptions_message_reaches_neither_page_nor_notification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = "zq81-planted-key-of-a-provider", "another-planted-key-77"
    monkeypatch.setenv("MINE_FOR_ASKING", key)  # a key by the configuration's reference alone
    monkeypatch.setenv("PROVIDER_API_KEY", other)
    monkeypatch.setattr(redact, "_values", set())
    config = tmp_path / "c.yaml"
    config.write_text(
        "synthesis: {base_url: 'http://127.0.0.1:9/v1', model: m, api_key: '${MINE_FOR_ASKING}'}\n"
    )
    told: list[str] = []

    def keep(*run: Any) -> None:
        told.append(describe_failure(*run))

    monkeypatch.setattr(hooks, "_write_page", keep)
    monkeypatch.setattr(hooks, "_notify", keep)
    monkeypatch.setattr(hooks, "flow_run_logger", lambda *_: logging.getLogger("hook"))
    # The first one lies across the place where a long message is cut.
    message = "x" * (hooks._LONGEST - 10) + key
    for said in (message, f"401: Incorrect API key provided: {key}, {other}"):
        run = failed("synthesize", config=str(config))
        say_what_next(load_flow("synthesize"), run, Failed(message=said))
    assert len(told) == 4
    assert not [part for part in (key[:8], other) for text in told if part in text]
    assert "Incorrect API key provided: [hidden], [hidden]" in told[2]


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
