"""Logs: one run id everywhere, no secrets, JSON where asked for, and a file in the workspace."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks.housekeeping.redact import learn_secrets, redact, redact_record
from tasks.workspace import Workspace

OUR_LOGGERS = ("flows", "tasks", "clara_model", "configs")
FORMAT_VARIABLE = "CLARA_LOG_FORMAT"
RUN_VARIABLE = "CLARA_RUN_ID"

_FILE_BYTES = 10 << 20
_OLD_FILES = 2


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, run_id, and exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "run_id": getattr(record, "run_id", ""),
        }
        for name in ("flow_run_id", "task_run_id"):  # Prefect's, where it logs
            if value := getattr(record, name, None):
                line[name] = str(value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact(self.formatException(record.exc_info))
        elif record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line, ensure_ascii=False, default=str)


def wants_json() -> bool:
    """Whether logs are to be JSON, by the environment."""
    return os.environ.get(FORMAT_VARIABLE, "").lower() == "json"


def make_formatter() -> logging.Formatter:
    """For a console: JSON where asked for, else the time and the message."""
    if wants_json():
        return JsonFormatter()
    return logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")


def mark_records() -> None:
    """Have every log record of this process carry the run id, and no secret. Done twice is once."""
    before = logging.getLogRecordFactory()
    if getattr(before, "marks_runs", False):
        return

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.run_id = os.environ.get(RUN_VARIABLE, "")
        redact_record(record)
        return record

    make.marks_runs = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make)


def begin_run(config: PipelineConfig, workspace: Workspace, run_id: str) -> None:
    """From here on, logs carry a run's id and are kept in its workspace as JSON lines.

    Processes started from here inherit the id.
    """
    os.environ[RUN_VARIABLE] = run_id
    learn_secrets(config)
    mark_records()
    path = log_file(workspace).resolve()
    for name in OUR_LOGGERS:
        logger = logging.getLogger(name)
        kept = [h for h in logger.handlers if isinstance(h, _RunFile)]
        if [h.baseFilename for h in kept] == [str(path)]:
            continue
        for handler in kept:  # of another workspace
            logger.removeHandler(handler)
            handler.close()
        logger.addHandler(_open_file(path))
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    if wants_json():
        _format_consoles()


def log_file(workspace: Workspace) -> Path:
    """Where the log of a workspace's runs lies: JSON lines."""
    return workspace.logs / "run.jsonl"


class _RunFile(logging.handlers.RotatingFileHandler):
    """The file in the workspace; told from handlers that others have put there."""

    def handleError(self, record: logging.LogRecord) -> None:
        """On a full disk the console says what is wrong, without a traceback for every line."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _open_file(path: Path) -> _RunFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _RunFile(
        path, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(JsonFormatter())
    return handler


def _format_consoles() -> None:
    """JSON on the consoles that Prefect has set up, in a worker's process for one."""
    for name in ("", "prefect", "prefect.flow_runs", "prefect.task_runs", *OUR_LOGGERS):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(
                handler, logging.FileHandler
            ):
                handler.setFormatter(JsonFormatter())
