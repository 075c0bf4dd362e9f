"""`clara up`, `clara deploy` and runs on workers: real processes, as docs/operations.md says."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from ports import free_port

from small_pipeline import ROOT, Pipeline

pytestmark = pytest.mark.slow


@dataclass
class Up:
    """A running `clara up`, and commands that talk to its server."""

    process: subprocess.Popen[str]
    api: str
    environment: dict[str, str]
    log: Path

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.api + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=800,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {d["name"]: d for d in self.ask("/deployments/filter", {})}

    def artifact_keys(self) -> set[str]:
        return {a["key"] for a in self.ask("/artifacts/filter", {"limit": 200})}


@pytest.fixture(scope="module")
def pipeline(finished: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """One that has run, and that these tests may change."""
    return finished.copy(tmp_path_factory.mktemp("deployed"))


@pytest.fixture(scope="module")
def up(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`clara up` on free ports, on the workspace of a pipeline that has run."""
    folder = tmp_path_factory.mktemp("up")
    prefect, mlflow = free_port(), free_port()
    environment = {
        **pipeline.environment,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "DO_NOT_TRACK": "true",
    }
    log = folder / "up.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "up", "--prefect-port", str(prefect),
             "--mlflow-port", str(mlflow), str(pipeline.config)],
            cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    api = f"http://127.0.0.1:{prefect}/api"
    running = Up(process, api, {**environment, "PREFECT_API_URL": api}, log)
    try:
        deadline = time.monotonic() + 600
        while "Ctrl-C ends everything" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(1)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=300)


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that keeps what is posted to it."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()


def test_both_addresses_are_printed_and_answer(up: Up) -> None:
    lines = dict(line.split(": ", 1) for line in up.log.read_text().splitlines() if ": " in line)
    for name, health in (("Prefect", "/api/health"), ("MLflow", "/health")):
        with urllib.request.urlopen(lines[name].strip() + health, timeout=30) as response:
            assert response.status == 200


def test_an_occupied_port_is_told_at_once(up: Up, pipeline: Pipeline) -> None:
    port = up.api.split(":")[2].removesuffix("/api")
    said = up.run("flows.cli", "up", "--prefect-port", port, str(pipeline.config), code=1)
    assert f"port {port} is taken" in said
    assert "--prefect-port" in said


def test_deploying_again_doubles_nothing_and_leaves_schedules_on(up: Up) -> None:
    before = up.deployments()
    assert len(before) == 13
    schedule = before["pipeline"]["schedules"][0]
    assert schedule["active"] is False
    up.run("prefect", "deployment", "schedule", "resume", "pipeline/pipeline", schedule["id"])
    up.run("flows.cli", "deploy")
    after = up.deployments()
    assert {n: d["id"] for n, d in after.items()} == {n: d["id"] for n, d in before.items()}
    assert [(s["slug"], s["active"]) for s in after["pipeline"]["schedules"]] == [("nightly", True)]
    assert [s["active"] for s in after["evaluate"]["schedules"]] == [False]
    assert {p["name"] for p in up.ask("/work_pools/filter", {})} == {"cpu", "gpu"}


def test_a_single_stage_runs_on_a_worker_and_shows_what_it_did(up: Up, pipeline: Pipeline) -> None:
    manifest = pipeline.workspace / "manifests" / "mine.json"
    before = manifest.stat().st_mtime
    up.run(
        "prefect", "deployment", "run", "mine/mine", "--watch",
        "--param", f"config={pipeline.config}", "--param", "force=true",
    )  # fmt: skip
    assert manifest.stat().st_mtime > before
    assert {"clara-mine", "clara-mine-counts", "clara-mine-mlflow"} <= up.artifact_keys()


def test_a_dispatched_pipeline_sends_only_what_is_out_of_date(up: Up, pipeline: Pipeline) -> None:
    up.run("flows.cli", "run", str(pipeline.config))
    (pipeline.workspace / "manifests" / "evaluate.json").unlink()
    runs = {run["id"] for run in up.ask("/flow_runs/filter", {})}
    up.run(
        "flows.cli", "run", str(pipeline.config),
        "--set", "execution.dispatch=deployments", "--set", "execution.poll_s=1",
    )  # fmt: skip
    assert (pipeline.workspace / "manifests" / "evaluate.json").is_file()
    fresh = [run for run in up.ask("/flow_runs/filter", {}) if run["id"] not in runs]
    deployment = up.deployments()["evaluate"]["id"]
    assert [run["work_pool_name"] for run in fresh if run["deployment_id"]] == ["gpu"]
    assert [run["deployment_id"] for run in fresh if run["deployment_id"]] == [deployment]
    assert {run["state_type"] for run in fresh} == {"COMPLETED"}


def test_a_stage_on_a_worker_refreshes_what_depends_on_it_if_asked(
    up: Up, pipeline: Pipeline
) -> None:
    manifests = pipeline.workspace / "manifests"
    before = {path.stem: path.stat().st_mtime_ns for path in manifests.glob("[!.]*.json")}
    changed = "training.stage3.learning_rate=2.0e-3"
    up.run(
        "prefect", "deployment", "run", "train-stage3/train-stage3", "--watch",
        "--param", f"config={pipeline.config}", "--param", "downstream=true",
        "--param", f"overrides={json.dumps([changed])}",
    )  # fmt: skip
    after = {path.stem: path.stat().st_mtime_ns for path in manifests.glob("[!.]*.json")}
    redone = {name for name, when in after.items() if before.get(name) != when}
    assert redone == {"stage3", "index", "evaluate", "report"}
    said = up.run("flows.cli", "run", "--set", changed, str(pipeline.config))
    assert "Everything is up to date." in said


def test_a_stage_that_fails_elsewhere_ends_the_pipeline_with_its_message(
    up: Up, pipeline: Pipeline, webhook: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, told = webhook
    make = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block; "
        f"Block(name='told', url='{address}', json_data={{'text': '{{{{subject}}}} {{{{body}}}}'}})"
        ".save('told', overwrite=True)"
    )
    script = tmp_path / "make_block.py"
    script.write_text(make)
    subprocess.run([sys.executable, script], env=up.environment, check=True, timeout=300)
    said = up.run(
        "flows.cli", "run", str(pipeline.config),
        "--set", "execution.dispatch=deployments", "--set", "execution.poll_s=1",
        "--set", "execution.retries=0", "--set", "execution.notify=custom-webhook/told",
        "--set", f"synthesis={{base_url: 'http://127.0.0.1:{free_port()}/v1', model: nobody, "
        "max_retries: 0, benchmark_share: 0.4}",
        code=1,
    )  # fmt: skip
    assert "synthesize ended as Failed on pool 'cpu'" in said.replace("\n", " ")
    assert "Traceback" not in said
    assert {"clara-synthesize-what-next", "clara-pipeline-what-next"} <= up.artifact_keys()
    assert len(told) == 1, "once for the pipeline, not for the stage as well"
    assert "pipeline: Failed" in told[0]
    assert "clara run" in told[0]


def test_ctrl_c_while_a_stage_trains_saves_it_says_how_to_go_on_and_leaves_nothing(
    up: Up, pipeline: Pipeline
) -> None:
    metrics = pipeline.workspace / "logs" / "stage2" / "metrics.jsonl"
    metrics.unlink()
    # Only a stage that is told to end can leave a checkpoint.
    settings = [f"training.stage2.{key}" for key in
                ("steps=50000", "checkpoint_every=50000", "checkpoint_minutes=600")]  # fmt: skip
    up.run(
        "prefect", "deployment", "run", "train-stage2/train-stage2",
        "--param", f"config={pipeline.config}", "--param", f"overrides={json.dumps(settings)}",
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < 3:
        assert time.monotonic() < deadline, up.log.read_text()
        time.sleep(0.5)
    children = psutil.Process(up.process.pid).children(recursive=True)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(timeout=300) == 0
    said = up.log.read_text()
    stopped = [line for line in said.splitlines() if line.startswith("stopping")]
    assert stopped[0].startswith("stopping train-stage2 (run ")
    assert stopped[1:] == ["stopping worker gpu", "stopping worker cpu", "stopping MLflow",
                           "stopping Prefect"]  # fmt: skip
    sets = " ".join(f"--set {setting}" for setting in settings)
    assert f"  clara train stage2 {sets} {pipeline.config}" in said.splitlines()
    assert len(children) >= 6
    assert [c.pid for c in children if c.is_running() and c.status() != "zombie"] == []

    [saved] = (pipeline.workspace / "progress" / "stage2").glob("step-*")
    last = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert int(saved.name.removeprefix("step-")) == last
    assert list((pipeline.workspace / "leases").iterdir()) == []
    with sqlite3.connect(Path(up.environment["PREFECT_HOME"]) / "prefect.db") as database:
        states = {state for (state,) in database.execute("select state_type from flow_run")}
    assert "CANCELLED" in states
    assert not states & {"PENDING", "RUNNING", "CANCELLING"}
