"""A pipeline that takes seconds a step, to be disturbed: started, watched, killed, compared."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from flows.up import PREFECT_SERVER
from small_pipeline import ROOT, SAMPLES, Pipeline
from tasks.storage import hash_file

DOCUMENTS = ("lantern_bridge.md", "night_of_lamps_guide.md")
STEPS_OF_STAGE2 = 40
_PRIVATE = ("mlflow.db*", "mlruns", "mlartifacts", "tracking", "leases", "progress")


@dataclass
class PrefectServer:
    """A Prefect server as `clara up` starts one, which can be killed and started again.

    All drills share it: a command that has a server needs not start one of its own.
    """

    folder: Path
    port: int
    pid: int = 0

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """Of the server and of all that talk to it."""
        return {
            **PREFECT_SERVER,
            # Prefect's shortest time for the place of a run that is gone.
            "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "30",
            "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_HOME": str(self.folder),
            "PREFECT_API_URL": self.api,
            "DO_NOT_TRACK": "true",
        }

    def start(self) -> None:
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        log = self.folder / "server.log"
        self.pid = serve(command, f"{self.api}/health", self.environment, log).pid

    def kill(self) -> None:
        kill_tree(self.pid)


class Drill(Pipeline):
    """A workspace of its own, perhaps begun as a copy of another one's."""

    def __init__(
        self, folder: Path, documents: Path, server: PrefectServer, origin: Pipeline | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, documents)
        self.overrides: tuple[str, ...] = ()
        settings = yaml.safe_load(self.config.read_text())
        self.config.write_text(yaml.safe_dump(_shrink(settings)))
        self.environment |= {**server.environment, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        if origin is not None:
            shutil.copytree(
                origin.workspace, self.workspace, ignore=shutil.ignore_patterns(*_PRIVATE)
            )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return super().start(*arguments, *self.overrides)

    def run(self, *arguments: str, code: int = 0, timeout_s: float = 800) -> str:
        """A command to its end; what it said, after its exit code was looked at."""
        process = self.start(*arguments)
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            kill_tree(process.pid)
            raise AssertionError(process.communicate()[0]) from None
        assert process.returncode == code, said
        assert "Traceback" not in said, said
        return said

    def forget(self, *steps: str) -> None:
        """Have steps to do again: their manifests and models are gone."""
        for step in steps:
            (self.workspace / "manifests" / f"{step}.json").unlink()
            shutil.rmtree(self.workspace / "models" / step, ignore_errors=True)

    def results(self) -> dict[str, Any]:
        """Hashes of all rows and weights; what was set aside in any order."""
        files = [
            *self.workspace.glob("*.jsonl"), *self.workspace.glob("benchmark/*"),
            *self.workspace.glob("world/**/*.jsonl"),
            *self.workspace.glob("models/*/*.safetensors"),
        ]  # fmt: skip
        found: dict[str, Any] = {
            str(path.relative_to(self.workspace)): hash_file(path) for path in files
        }
        unordered = self.workspace.glob("rejected*.jsonl")
        return found | {path.name: sorted(path.read_text().splitlines()) for path in unordered}

    def metric_lines(self, stage: str) -> list[str]:
        """Lines of a stage's metrics that are there now."""
        path = self.workspace / "logs" / stage / "metrics.jsonl"
        return path.read_text().splitlines() if path.is_file() else []


MakeDrill = Callable[[Path], Drill]  # a copy of the undisturbed one in a folder


def write_documents(folder: Path) -> Path:
    """A documents folder of two Markdown files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        shutil.copyfile(SAMPLES / name, folder / name)
    return folder


def kill_tree(pid: int) -> None:
    """kill -9 of a process and of all that it has started, in whatever session."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=60)


def wait_until(condition: Callable[[], object], process: subprocess.Popen[Any], what: str) -> None:
    """Look until something has happened, for as long as a process lives."""
    end = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, f"ended before {what}"
        assert time.monotonic() < end, what
        time.sleep(0.02)


def serve(
    arguments: Iterable[str], health: str, environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a Python module that serves, and wait until it answers."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def answers() -> bool:
        try:
            with urllib.request.urlopen(health, timeout=2):
                return True
        except OSError:
            return False

    wait_until(answers, process, f"{health} answered (see {log})")
    return process


def recorded_steps(database: Path) -> list[str]:
    """The steps that MLflow has a run of, as often as it has one."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select value from tags where key = 'clara.step' order by 1")
        return [value for (value,) in rows]


def recorded_metric(database: Path, step: str, name: str) -> list[int]:
    """Steps at which MLflow has a metric of a pipeline step, as often as it has them."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "select m.step from metrics m join tags t on t.run_uuid = m.run_uuid "
            "where t.key = 'clara.step' and t.value = ? and m.key = ? order by 1",
            (step, name),
        )
        return [value for (value,) in rows]


def _shrink(settings: dict[str, Any]) -> dict[str, Any]:
    stage = {"steps": 4, "batch_size": 2, "checkpoint_every": 2, "learning_rate": 1.0e-3}
    settings["model"]["built_in"] |= {
        "steps": 2, "copy_steps": 1, "short_steps": 2, "vocab_size": 1024, "checkpoint_every": 1,
    }  # fmt: skip
    settings["training"] = {
        "stage1": stage,
        # Long enough to be caught in the middle.
        "stage2": stage | {"steps": STEPS_OF_STAGE2, "checkpoint_every": 5},
        "stage3": stage,
        "world": {"share": 0.2, "rows_per_stage": 8, "benchmark_rows": 2},
    }
    settings["evaluation"] = {"max_questions": 2, "max_new_tokens": 2, "bootstrap_samples": 10}
    settings["tracking"] = {"system_metrics": False}
    return settings
