from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.housekeeping import logs, redact
from tasks.workspace import Workspace

KEY = "sk-planted-0123456789"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging and known secrets are of the whole process."""
    factory, known = logging.getLogRecordFactory(), set(redact._values)
    loggers = [logging.getLogger(name) for name in logs.OUR_LOGGERS]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    monkeypatch.setenv(logs.RUN_VARIABLE, "")
    yield
    logging.setLogRecordFactory(factory)
    redact._values.clear()
    redact._values.update(known)
    for logger, handlers, level in before:
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PipelineConfig, Workspace]:
    monkeypatch.setenv("PLANTED", KEY)
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key": "${PLANTED}"}
    config = PipelineConfig.model_validate({"workspace": tmp_path, "synthesis": endpoint})
    return config, Workspace(tmp_path)


def lines(workspace: Workspace) -> list[dict]:
    return [json.loads(line) for line in logs.log_file(workspace).read_text().splitlines()]


def test_a_run_leaves_json_lines_that_all_carry_its_id(
    configured: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = configured
    logs.begin_run(config, workspace, "run-1")
    logs.begin_run(config, workspace, "run-1")  # a flow within a flow
    logging.getLogger("tasks.anything").info("made %d rows", 3)
    found = lines(workspace)
    assert len(found) == 1
    assert {k: found[0][k] for k in ("level", "logger", "message", "run_id")} == {
        "level": "INFO", "logger": "tasks.anything", "message": "made 3 rows", "run_id": "run-1",
    }  # fmt: skip
    assert os.environ[logs.RUN_VARIABLE] == "run-1"  # training processes inherit it


@pytest.mark.parametrize("where", ["message", "argument", "exception"])
def test_a_key_reaches_no_log(
    configured: tuple[PipelineConfig, Workspace], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    config, workspace = configured
    logs.begin_run(config, workspace, "run-1")
    stream = io.StringIO()
    console = logging.StreamHandler(stream)
    log = logging.getLogger("tasks.anything")
    log.addHandler(console)
    if where == "message":
        log.warning(f"refused {KEY}")
    elif where == "argument":
        log.warning("refused %s at %d", KEY, 3)
    else:
        try:
            raise ValueError(f"refused {KEY}")
        except ValueError:
            log.exception("it failed")
    log.removeHandler(console)
    text = logs.log_file(workspace).read_text()
    for written in (text, stream.getvalue(), caplog.text):
        assert KEY not in written
    assert redact.HIDDEN in text
    if where == "exception":
        assert "ValueError" in lines(workspace)[0]["exception"]


def test_a_key_in_the_environment_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", "abcdef-123456")
    redact.learn_secrets({})
    assert redact.redact("sent abcdef-123456 away") == "sent [hidden] away"


def test_short_values_do_not_blot_out_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "rows")
    redact.learn_secrets({})
    assert redact.redact("made 3 rows") == "made 3 rows"


def test_consoles_write_json_only_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.LogRecord("tasks.x", logging.INFO, "x.py", 1, "made %d", (3,), None)
    monkeypatch.delenv(logs.FORMAT_VARIABLE, raising=False)
    assert logs.make_formatter().format(record).endswith(" made 3")
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "json")
    assert json.loads(logs.make_formatter().format(record))["message"] == "made 3"
