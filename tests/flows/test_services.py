"""Processes that `clara up` starts: they end in order, with all that they have started."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from clara_model.errors import LaunchError
from flows.services import Service, require_free, start, stop_all, wait_until_up, watch

# Starts a child that ignores SIGTERM, says so in a file, and sleeps.
PARENT = """
import pathlib, signal, subprocess, sys, time
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, interrupt)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
try:
    time.sleep(60)
except KeyboardInterrupt:
    with open(sys.argv[2], "a") as stream:
        stream.write(sys.argv[3] + "\\n")
"""


def service(folder: Path, name: str) -> Service:
    pid = folder / f"{name}.pid"
    command = [sys.executable, "-c", PARENT, str(pid), str(folder / "ended.txt"), name]
    return Service(name, command, lambda: pid.is_file() and bool(pid.read_text()), {})


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is more than an entry that nobody has collected."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_they_end_last_started_first_and_leave_no_orphan(tmp_path: Path) -> None:
    running = [start(service(tmp_path, name), tmp_path / "logs") for name in ("server", "worker")]
    for one in running:
        wait_until_up(one)
    children = [int((tmp_path / f"{name}.pid").read_text()) for name in ("server", "worker")]
    said: list[str] = []
    stop_all(running, said.append)
    assert (tmp_path / "ended.txt").read_text().split() == ["worker", "server"]
    assert said == ["stopping worker", "stopping server"]
    assert not any(is_running(pid) for pid in children)
    assert all(one.process.poll() is not None for one in running)


def test_what_a_worker_leaves_behind_has_time_to_save(tmp_path: Path) -> None:
    saving = (
        "import signal, sys, time, pathlib\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "print('up', flush=True); signal.pause(); time.sleep(0.5)\n"
        "pathlib.Path(sys.argv[1]).write_text('saved')\n"
    )
    worker = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]], stdout=-1)\n"
        "child.stdout.readline()\n"
        "open(sys.argv[3], 'w').close()\n"
        "time.sleep(60)\n"
    )
    saved, ready = tmp_path / "saved", tmp_path / "ready"
    command = [sys.executable, "-c", worker, saving, str(saved), str(ready)]
    running = start(Service("worker", command, ready.is_file, {}, orphans_s=30.0), tmp_path)
    wait_until_up(running)
    stop_all([running], lambda _: None)
    assert saved.read_text() == "saved"


def test_one_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    words = "import sys; print('the port is mine'); sys.exit(3)"
    failing = Service("Prefect", [sys.executable, "-c", words], lambda: False, {})
    with pytest.raises(LaunchError, match=r"(?s)Prefect ended.*code 3.*the port is mine"):
        wait_until_up(start(failing, tmp_path))
    with pytest.raises(LaunchError, match="Prefect ended"):
        watch([start(failing, tmp_path)])


def test_an_occupied_port_is_told_with_the_option_that_chooses_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LaunchError, match=rf"port {port} is taken.*--mlflow-port"):
            require_free({"--mlflow-port": port})
    started = time.monotonic()
    require_free({"--mlflow-port": port})
    assert time.monotonic() - started < 5
