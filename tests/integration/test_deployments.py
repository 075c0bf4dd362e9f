"""Server, deployments and a worker, as the README tells it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from small_pipeline import ROOT, Pipeline

pytestmark = pytest.mark.slow


def prefect(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server on loopback with all deployments and a worker on pool `cpu`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    variables = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path_factory.mktemp("server")),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }
    server = start(variables, "server", "start", "--host", "127.0.0.1", "--port", str(port))
    worker = None
    try:
        wait_for(f"{api}/health")
        for pool in ("cpu", "gpu"):
            prefect(variables, "work-pool", "create", pool, "--type", "process")
        prefect(variables, "--no-prompt", "deploy", "--all")
        worker = start(variables, "worker", "start", "--pool", "cpu")
        yield variables
    finally:
        if worker is not None:
            worker.terminate()
            worker.wait(timeout=300)
        server.terminate()
        server.wait(timeout=300)


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"{address} did not answer")


def test_every_flow_is_deployed(environment: dict[str, str]) -> None:
    listed = prefect(environment, "deployment", "ls")
    for name in ("extract/extract", "train-stage3/train-stage3", "pipeline/pipeline"):
        assert name in listed


def test_a_single_stage_runs_on_a_worker(environment: dict[str, str], finished: Pipeline) -> None:
    stale = finished.workspace / "manifests" / "mine.json"
    before = stale.stat().st_mtime
    prefect(
        environment, "deployment", "run", "mine/mine", "--watch",
        "--param", f"config={finished.config}", "--param", "force=true",
    )  # fmt: skip
    assert stale.stat().st_mtime > before
