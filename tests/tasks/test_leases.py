"""Two workers on one workspace, as processes and threads."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clara_model.errors import LaunchError
from tasks.leases import FolderLeases, hold_lease, read_leases

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys, time
from pathlib import Path
from tasks.leases import FolderLeases, hold_lease
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
with hold_lease("stage1", FolderLeases(folder / "leases"), expires_s=1.0) as hold:
    with (folder / "log").open("a") as stream:
        stream.write(f"in {hold.waited}\\n")
        stream.flush()
        time.sleep(seconds)
        stream.write("out\\n")
"""


def worker(folder: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(seconds)],
        cwd=ROOT, text=True, stderr=subprocess.PIPE,
    )  # fmt: skip


def lines(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().splitlines() if path.is_file() else []


def wait_for(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_processes_are_never_at_a_step_at_once(tmp_path: Path) -> None:
    workers = [worker(tmp_path, 0.3) for _ in range(3)]
    for process in workers:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    found = lines(tmp_path)
    assert [line.split()[0] for line in found] == ["in", "out"] * 3
    assert found[0] == "in False"  # the first waited for nobody
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_process_killed_on_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    process = worker(tmp_path, 60)
    wait_for(lambda: lines(tmp_path))
    process.kill()
    process.communicate()
    started = time.monotonic()
    with hold_lease("stage1", FolderLeases(tmp_path / "leases"), expires_s=600) as hold:
        assert not hold.waited
    assert time.monotonic() - started < 5


def foreign(folder: Path, **changes: object) -> Path:
    """A lease of another machine."""
    folder.mkdir(exist_ok=True)
    lease = {"owner": "abc", "who": "eve@elsewhere", "pid": 7, "machine": "elsewhere", "started":
             "1", "beat": 0, "since": "2090-01-01T00:00:00+00:00"}  # fmt: skip
    path = folder / "stage1.json"
    path.write_text(json.dumps(lease | changes))
    return path


def test_a_lease_that_stands_still_expires_whatever_its_clock_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = foreign(tmp_path)
    os.utime(path, (4e9, 4e9))  # a clock far in the future
    started = time.monotonic()
    with (
        caplog.at_level(logging.INFO),
        hold_lease("stage1", FolderLeases(tmp_path), expires_s=0.6) as hold,
    ):
        assert hold.waited
        assert json.loads(path.read_text())["owner"] != "abc"
    assert 0.5 < time.monotonic() - started < 5
    assert "waiting for eve@elsewhere (process 7" in caplog.text
    assert "is gone; taking over" in caplog.text


def test_a_lease_whose_number_grows_is_never_taken_over(tmp_path: Path) -> None:
    path = foreign(tmp_path)
    beats = 12

    def live() -> None:
        for beat in range(beats):
            FolderLeases(tmp_path).write("stage1", foreign_text(path, beat))
            time.sleep(0.1)
        path.unlink()

    def foreign_text(path: Path, beat: int) -> str:
        return json.dumps(json.loads(path.read_text()) | {"beat": beat, "since": "1970"})

    other = threading.Thread(target=live)
    started = time.monotonic()
    other.start()
    with hold_lease("stage1", FolderLeases(tmp_path), expires_s=0.5):
        assert time.monotonic() - started > 0.1 * (beats - 1)
    other.join()


def test_an_empty_lease_file_left_by_a_crash_expires(tmp_path: Path) -> None:
    (tmp_path / "stage1.json").write_text("")
    with hold_lease("stage1", FolderLeases(tmp_path), expires_s=0.3):
        pass


def test_one_that_stood_still_learns_that_it_was_replaced(tmp_path: Path) -> None:
    def lose() -> None:
        with hold_lease("stage1", FolderLeases(tmp_path), expires_s=0.5):
            foreign(tmp_path)
            time.sleep(30)  # the interrupt ends it

    with pytest.raises(LaunchError, match=r"eve@elsewhere .* took over"):
        lose()
    held = read_leases(FolderLeases(tmp_path), ["stage1"])
    assert "eve" in held["stage1"]  # the new owner's stays


def test_a_suspended_process_is_replaced_and_then_stops(tmp_path: Path) -> None:
    first = worker(tmp_path, 60)
    wait_for(lambda: lines(tmp_path))
    path = tmp_path / "leases" / "stage1.json"
    # Elsewhere nobody can see whether it lives.
    first.send_signal(signal.SIGSTOP)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": "elsewhere"}))
    second = worker(tmp_path, 3)
    wait_for(lambda: len(lines(tmp_path)) == 2)
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=30)
    assert first.returncode != 0
    assert "took over" in errors
    second.communicate(timeout=30)
    assert lines(tmp_path) == ["in False", "in True", "out"]


def test_who_holds_what_can_be_listed(tmp_path: Path) -> None:
    leases = FolderLeases(tmp_path)
    with hold_lease("mine", leases):
        found = read_leases(leases, ["extract", "mine"])
        assert set(found) == {"mine"}
        assert f"process {os.getpid()}" in found["mine"]
    assert read_leases(leases, ["extract", "mine"]) == {}


def test_who_was_killed_on_this_machine_is_not_listed(tmp_path: Path) -> None:
    process, leases = worker(tmp_path, 60), FolderLeases(tmp_path / "leases")
    wait_for(lambda: lines(tmp_path))
    assert f"process {process.pid}" in read_leases(leases, ["stage1"])["stage1"]
    process.kill()
    process.communicate()
    assert read_leases(leases, ["stage1"]) == {}
