"""Limits of worker processes, by real ones: asleep, starved, and greedy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.extraction import workers
from tasks.extraction.convert import extract_documents
from tasks.extraction.process_figures import memory_mb, waits_s
from tasks.storage import read_records
from tasks.workspace import Workspace

needs_schedstat = pytest.mark.skipif(waits_s(os.getpid()) is None, reason="no schedstat here")


def burn(cpu: int, nice: int) -> None:
    os.sched_setaffinity(0, {cpu})
    os.nice(nice)
    while True:
        pass


@pytest.fixture
def starved() -> Iterator[int]:
    """A process that gets a few percent of a processor; two others have the rest."""
    context, cpu = get_context("fork"), min(os.sched_getaffinity(0))
    greedy = [context.Process(target=burn, args=(cpu, 10), daemon=True) for _ in range(2)]
    starved = context.Process(target=burn, args=(cpu, 19), daemon=True)
    processes = [*greedy, starved]
    for process in processes:
        process.start()
    assert starved.pid is not None
    yield starved.pid
    for process in processes:
        process.kill()
        process.join()


def watched(process: subprocess.Popen[bytes] | int) -> workers._Worker:
    class Known:
        pid = process if isinstance(process, int) else process.pid

    worker = workers._Worker(Known(), None, time.monotonic())  # type: ignore[arg-type]
    worker.waits = waits_s(Known.pid)
    return worker


@needs_schedstat
def test_waits_for_a_processor_do_not_count_and_sleep_does(starved: int) -> None:
    asleep = subprocess.Popen(["sleep", "60"])
    try:
        time.sleep(0.3)  # both have started
        hungry, lazy = watched(starved), watched(asleep)
        time.sleep(1.0)
        assert workers._seconds(hungry) < 0.5
        assert workers._seconds(lazy) > 0.9
    finally:
        asleep.kill()
        asleep.wait()


@needs_schedstat
def test_file_whose_reader_sleeps_for_ever_ends_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input").mkdir()
    for name in ("asleep.txt", "good.txt"):
        (tmp_path / "input" / name).write_text(f"The ferry sails at noon, says {name}.")
    send, step = workers._send, workers._step
    sent: list[float] = []
    lasted: list[float] = []

    def send_to_sleep(worker: workers._Worker, job: workers.Job) -> None:
        if job.file_path == "asleep.txt":
            assert worker.process.pid is not None
            os.kill(worker.process.pid, signal.SIGSTOP)
            sent.append(time.monotonic())
        send(worker, job)

    def step_and_look(worker: workers._Worker, settings: object) -> object:
        record = step(worker, settings)  # type: ignore[arg-type]
        if record and worker.job and worker.job.file_path == "asleep.txt":
            lasted.append(time.monotonic() - sent[0])
        return record

    monkeypatch.setattr(workers, "_send", send_to_sleep)
    monkeypatch.setattr(workers, "_step", step_and_look)
    config = PipelineConfig.model_validate(
        {"extraction": {"input": tmp_path / "input", "timeout_s": 2.0}, "execution": {"workers": 1}}
    )
    workspace = Workspace(tmp_path / "workspace")
    (reject,) = extract_documents(config, workspace).rejects
    assert (reject.item, reject.reason) == (
        "asleep.txt", "took longer than extraction.timeout_s 2",
    )  # fmt: skip
    assert [row["file_path"] for row in read_records(workspace.raw_knowledge)] == ["good.txt"]
    (seconds,) = lasted
    assert 2.0 <= seconds < 5.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what is mapped")
def test_a_worker_cannot_map_far_more_than_its_limit() -> None:
    script = (
        "from tasks.extraction.process_figures import cap_memory, memory_mb\n"
        "cap_memory(100)\n"
        "kept = bytearray(150_000_000)\n"
        "try:\n    bytearray(300_000_000)\nexcept MemoryError:\n    print('refused')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "refused\n"


def test_memory_of_a_process_that_has_ended_is_nothing() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert memory_mb(ended.pid) == 0.0
