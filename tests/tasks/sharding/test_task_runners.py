"""Real task runners: a Dask worker killed midway, processes, threads, Ray."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.workspace import Workspace

pytestmark = pytest.mark.slow
NUM_FILES = 12


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of these tests alone."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for number in range(NUM_FILES):
        (folder / f"{number:02d}.md").write_text(f"# Pier {number}\n\nIt is {number} m long.\n")
    return folder


@pytest.fixture(scope="module")
def undisturbed(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The rows as one process makes them."""
    from tasks.extraction.convert import extract_documents

    workspace = Workspace(tmp_path_factory.mktemp("undisturbed"))
    extract_documents(settings(documents), workspace)
    return workspace.raw_knowledge.read_bytes()


def settings(documents: Path, **execution: object) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {"extraction": {"input": documents}, "execution": {"workers": 2, **execution}}
    )


def extract_in_shards(config: PipelineConfig, workspace: Workspace) -> bytes:
    from tasks.extraction.task import extract_task

    counts = extract_task(config, workspace).counts
    assert counts["files"] == NUM_FILES
    return workspace.raw_knowledge.read_bytes()


def test_a_dask_worker_killed_midway_changes_no_row(
    server: None, documents: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("prefect_dask")
    workspace = Workspace(tmp_path)
    journal = workspace.progress / "extract.jsonl"
    killed: list[tuple[int, int]] = []

    def kill_one(pids: list[int]) -> None:
        while not (journal.is_file() and (done := len(journal.read_text().splitlines()) - 1) > 0):
            time.sleep(0.05)
        os.kill(pids[0], signal.SIGKILL)
        killed.append((pids[0], done))

    with (
        dask.config.set({"distributed.worker.daemon": False}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
    ):
        pids = [worker.pid for worker in cluster.workers.values()]
        threading.Thread(target=kill_one, args=(pids,), daemon=True).start()
        address = cluster.scheduler_address
        config = settings(documents, task_runner="dask", address=address, shard_size=1)
        rows = extract_in_shards(config, workspace)
        now = [worker.pid for worker in cluster.workers.values()]
    assert rows == undisturbed
    [(pid, done)] = killed
    assert pid not in now
    assert done < NUM_FILES  # there was something left to do


@pytest.mark.parametrize("runner", ["threads", "processes", "dask", "ray"])
def test_rows_are_the_same_whoever_does_the_shards(
    server: None,
    documents: Path,
    undisturbed: bytes,
    tmp_path: Path,
    runner: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 by default: it waits for all others
    package = {"dask": "prefect_dask", "ray": "prefect_ray"}.get(runner)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    config = settings(documents, task_runner=runner, shard_size=6)
    assert extract_in_shards(config, Workspace(tmp_path)) == undisturbed
