"""A command that is told to end, as `docker stop`, systemd and job queues do."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import psutil
import pytest

from small_pipeline import Pipeline

pytestmark = pytest.mark.slow


def test_sigterm_leaves_no_process_and_keeps_what_is_done(documents: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, documents)
    process = pipeline.start("run")
    assert process.stdout is not None
    for line in process.stdout:
        if re.search(r"passages: done", line):
            break
    started = psutil.Process(process.pid).children(recursive=True)
    assert any("uvicorn" in " ".join(child.cmdline()) for child in started)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert output.strip().endswith("run the same command again to go on")
    assert process.returncode == 128 + signal.SIGTERM
    _, alive = psutil.wait_procs(started, timeout=20)
    assert [child.cmdline() for child in alive] == []
    assert "extract: up to date" in pipeline.clara("extract")
