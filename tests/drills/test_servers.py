"""Prefect's and MLflow's servers and a worker are killed while a stage trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port

from drill import (
    STEPS_OF_STAGE2,
    Drill,
    MakeDrill,
    PrefectServer,
    kill_tree,
    recorded_metric,
    recorded_steps,
    serve,
    wait_until,
)
from small_pipeline import ROOT

pytestmark = pytest.mark.slow

ALL_STEPS = list(range(1, STEPS_OF_STAGE2 + 1))


def to_be_trained(make: MakeDrill, folder: Path) -> Drill:
    """A workspace in which stage 2 is to be done."""
    drill = make(folder)
    drill.forget("stage2")
    (drill.workspace / "logs" / "stage2" / "metrics.jsonl").unlink()
    return drill


def is_training(drill: Drill) -> bool:
    """Whether a checkpoint of stage 2 is there, and more steps after it."""
    return len(drill.metric_lines("stage2")) > 6


def steps_of(drill: Drill) -> list[int]:
    return [json.loads(line)["step"] for line in drill.metric_lines("stage2")]


def test_an_mlflow_server_that_is_killed_gets_everything_once_when_it_is_back(
    undisturbed: Drill, copy_of_it: MakeDrill, tmp_path: Path
) -> None:
    drill = to_be_trained(copy_of_it, tmp_path / "of_it")
    port, database = free_port(), tmp_path / "mlflow.db"
    address = f"http://127.0.0.1:{port}"
    drill.overrides = ("--set", f"tracking.uri={address}")

    def start() -> int:
        command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers",
                   "1", "--backend-store-uri", f"sqlite:///{database}",
                   "--artifacts-destination", str(tmp_path / "artifacts")]  # fmt: skip
        environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return serve(command, f"{address}/health", environment, tmp_path / "mlflow.log").pid

    mlflow = start()
    process = drill.start("train", "stage2")
    wait_until(lambda: is_training(drill), process, "training")
    kill_tree(mlflow)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert "MLflow does not take what is recorded" in said
    assert "nothing is lost" in said
    assert drill.results() == undisturbed.results()
    mlflow = start()
    try:
        drill.run("train", "stage2")  # whichever command comes next
    finally:
        kill_tree(mlflow)
    assert recorded_metric(database, "stage2", "loss") == ALL_STEPS
    assert recorded_steps(database) == ["stage2"]


def start_worker(drill: Drill) -> int:
    with (drill.folder / "worker.log").open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--limit", "1"],
            cwd=ROOT, env={**drill.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"},
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        ).pid  # fmt: skip


def send(drill: Drill) -> subprocess.Popen[str]:
    """Send stage 2 to the pool, and wait for its end."""
    return subprocess.Popen(
        [sys.executable, "-m", "prefect", "deployment", "run", "train-stage2/train-stage2",
         "--watch", "--param", f"config={drill.config}"],
        cwd=ROOT, env=drill.environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_a_killed_worker_and_a_killed_server_lose_no_step_of_training(
    undisturbed: Drill, copy_of_it: MakeDrill, server: PrefectServer, tmp_path: Path
) -> None:
    drill = to_be_trained(copy_of_it, tmp_path / "of_it")
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "deploy"], cwd=ROOT, env=drill.environment, check=True,
        stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    worker = start_worker(drill)
    first = send(drill)
    wait_until(lambda: is_training(drill), first, "training")
    kill_tree(worker)
    assert len(drill.metric_lines("stage2")) < STEPS_OF_STAGE2
    kill_tree(first.pid)
    first.communicate()

    # The server dies as well, while the run that the killed worker held still has its place.
    server.kill()
    server.start()
    worker = start_worker(drill)
    try:
        second = send(drill)
        said, _ = second.communicate(timeout=600)
    finally:
        kill_tree(worker)
    assert second.returncode == 0, said
    assert steps_of(drill) == ALL_STEPS
    assert drill.results() == undisturbed.results()
    log = (drill.workspace / "logs" / "stage2" / "train.log").read_text()
    assert "continuing after step" in log


def test_a_command_whose_server_is_killed_says_so_and_goes_on_when_it_is_back(
    undisturbed: Drill, copy_of_it: MakeDrill, server: PrefectServer, tmp_path: Path
) -> None:
    drill = to_be_trained(copy_of_it, tmp_path / "of_it")
    process = drill.start("train", "stage2")
    wait_until(lambda: is_training(drill), process, "training")
    server.kill()
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 1, said
    words = " ".join(said.split())
    assert f"the Prefect server {server.api} does not answer" in words
    assert "run the same command again" in words
    server.start()
    drill.run("train", "stage2")
    assert steps_of(drill) == ALL_STEPS
    assert drill.results() == undisturbed.results()
