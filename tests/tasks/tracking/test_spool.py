"""With a real MLflow server on loopback: down, then up, then cut off in between."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks import tracking
from tasks.tracking import Tracker, send, spool
from tasks.tracking.outbox import Outbox
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def start_server(
    port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], None]]:
    folder = tmp_path_factory.mktemp("server")
    processes = []

    def start() -> None:
        if processes:
            return
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port",
                 str(port), "--workers", "1", "--backend-store-uri",
                 f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "art")],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            except OSError:
                time.sleep(0.3)
            else:
                return
        raise TimeoutError

    yield start
    for process in processes:
        os.killpg(process.pid, 9)
        process.wait()


def at(workspace: Workspace, port: int) -> PipelineConfig:
    settings = {"uri": f"http://127.0.0.1:{port}", "system_metrics": False}
    return PipelineConfig.model_validate({"workspace": workspace.root, "tracking": settings})


def record(config: PipelineConfig, workspace: Workspace) -> tuple[Tracker, str]:
    """What a stage's flow does."""
    tracker = tracking.open_pipeline_run(config, workspace)
    result = workspace.root / "result.txt"
    result.write_text("done")
    with tracking.step_run(tracker, "stage1", "key") as ref:
        for step in range(1, 21):
            tracking.log_metrics(tracker, ref, [{"step": step, "loss": 1.0 / step}])
        tracking.log_artifacts(tracker, ref, [result])
    tracking.finish_pipeline_run(tracker, "FINISHED")
    return tracker, ref


def test_a_server_that_is_down_delays_nothing_and_gets_everything_once_later(
    tmp_path: Path, port: int, start_server: Callable[[], None]
) -> None:
    workspace = Workspace(tmp_path)
    config = at(workspace, port)
    started = time.monotonic()
    tracker, ref = record(config, workspace)
    assert time.monotonic() - started < 5  # one refused connection, and no retries
    assert spool.count_waiting(workspace) >= 25
    assert tracker.run_id == ""
    copy = tmp_path / "copy"
    shutil.copytree(spool.spool_folder(workspace), copy / "tracking")
    start_server()
    sender = send.Sender(spool.spool_folder(workspace), f"http://127.0.0.1:{port}")
    assert sender.send_all() is None
    assert spool.count_waiting(workspace) == 0
    check_once(sender, tracker.pipeline_id, ref)
    # as if the machine had died before it noted that all was sent
    for path in spool.spool_files(copy / "tracking"):
        path.with_suffix(".sent").unlink(missing_ok=True)
    again = send.Sender(copy / "tracking", f"http://127.0.0.1:{port}")
    assert again.send_all() is None
    check_once(again, tracker.pipeline_id, ref)


def check_once(sender: send.Sender, pipeline: str, ref: str) -> None:
    client, ids = sender.client, sender.ids[ref]
    runs = client.search_runs([ids.experiment_id], f"tags.`clara.pipeline_id` = '{pipeline}'")
    assert len(runs) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    history = client.get_metric_history(ids.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(n, 1.0 / n) for n in range(1, 21)]
    assert [f.path for f in client.list_artifacts(ids.run_id)] == ["result.txt"]


def test_a_sender_killed_between_two_sends_leaves_no_gap_and_no_double(
    tmp_path: Path, port: int, start_server: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    monkeypatch.setattr(Outbox, "_work", lambda self: None)  # nothing is sent from this process
    tracker, ref = record(at(workspace, port), workspace)
    start_server()
    sender = send.Sender(spool.spool_folder(workspace), f"http://127.0.0.1:{port}")
    marked = spool.write_marker
    monkeypatch.setattr(send, "_BATCH", 8)

    def die_after_the_first_metrics(path: Path, offset: int) -> None:
        if sender._steps and any(last.get("loss", 0) >= 8 for last in sender._steps.values()):
            raise KeyboardInterrupt
        marked(path, offset)

    monkeypatch.setattr(spool, "write_marker", die_after_the_first_metrics)
    with pytest.raises(KeyboardInterrupt):
        sender.send_all()
    monkeypatch.setattr(spool, "write_marker", marked)
    successor = send.Sender(spool.spool_folder(workspace), f"http://127.0.0.1:{port}")
    assert successor.send_all() is None
    check_once(successor, tracker.pipeline_id, ref)


def test_what_mlflow_refuses_is_warned_of_once_counted_and_holds_nothing_up(
    tmp_path: Path, port: int, start_server: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    start_server()
    workspace = Workspace(tmp_path)
    name = "x" * 300  # MLflow takes names of up to 250 characters
    tracker = tracking.open_pipeline_run(at(workspace, port), workspace)
    with tracking.step_run(tracker, "stage1", "key") as ref:
        for step in (1, 2, 3):
            tracking.log_metrics(tracker, ref, [{"step": step, name: 1.0, "loss": 2.0}])
    tracking.finish_pipeline_run(tracker, "FINISHED")
    history = tracker.client.get_metric_history(tracker.mlflow_id(ref), "loss")
    assert [m.step for m in history] == [1, 2, 3]
    assert spool.count_refused(workspace) == {f"metric {name}": 3}
    assert len([r for r in caplog.records if "MLflow refuses" in r.getMessage()]) == 1


def test_a_line_torn_by_a_kill_is_left_out_and_the_rest_counts(tmp_path: Path) -> None:
    own = spool.SpoolFile(tmp_path)
    own.append({"do": "tags", "ref": "a"})
    with own.path.open("ab") as stream:
        stream.write(b'{"do": "ta')
    assert [r for _, r in spool.read_from(own.path, 0)] == [{"do": "tags", "ref": "a"}]
    spool.write_marker(own.path, spool.read_from(own.path, 0)[-1][0])
    spool.remove_if_done(own.path)
    assert own.path.exists()  # its process lives
    own.close()
    spool.remove_if_done(own.path)
    assert list(tmp_path.iterdir()) == []
