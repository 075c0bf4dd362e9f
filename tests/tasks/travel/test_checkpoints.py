"""Checkpoints on the way travel while a stage is trained."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from clara_model.errors import ServiceError
from tasks.travel import checkpoints
from tasks.travel.checkpoints import fetch_checkpoint, remove_checkpoints, sending_checkpoints
from tasks.travel.remote import Remote


def write_checkpoint(work: Path, step: int, *, whole: bool = True) -> None:
    folder = work / f"step-{step:07d}"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "trained.bin").write_text(f"weights of step {step}")
    if whole:
        (folder / "state.json").write_text("{}")


def wait_for(remote: Remote, name: str) -> None:
    end = time.monotonic() + 30
    while remote.read(name) is None:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_newest_whole_checkpoint_reaches_another_worker(remote: Remote, tmp_path: Path) -> None:
    here, there = tmp_path / "here" / "stage1", tmp_path / "there" / "stage1"
    with sending_checkpoints(remote, "stage1", here, every_s=0.1):
        write_checkpoint(here, 5)
        wait_for(remote, "checkpoints/stage1/step-0000005/FILES.json")
        write_checkpoint(here, 10)
        write_checkpoint(here, 15, whole=False)  # being written
        wait_for(remote, "checkpoints/stage1/step-0000010/FILES.json")
    assert {name.split("/")[2] for name in remote.list_files("checkpoints")} == {"step-0000010"}
    assert fetch_checkpoint(remote, "stage1", there) == "step-0000010"
    assert (there / "step-0000010/weights/trained.bin").read_text() == "weights of step 10"
    assert (there / "step-0000010/state.json").is_file()
    assert fetch_checkpoint(remote, "stage1", there) is None  # it is here
    remove_checkpoints(remote, "stage1")
    assert remote.list_files("checkpoints") == {}
    assert list(here.parent.glob(".sending*")) == []


def test_what_is_due_goes_by_when_checkpoints_were_written_and_not_by_when_they_were_sent(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_POLL_S", 0.05)
    work, now = tmp_path / "stage1", time.time()

    def write(step: int, minutes_ago: float) -> None:
        write_checkpoint(tmp_path / "new" / "stage1", step)
        made = tmp_path / "new" / "stage1" / f"step-{step:07d}"
        os.utime(made / "state.json", (now - 60 * minutes_ago,) * 2)
        work.mkdir(exist_ok=True)
        made.rename(work / made.name)

    def sent() -> set[str]:
        return {name.split("/")[2] for name in remote.list_files("checkpoints")}

    with sending_checkpoints(remote, "stage1", work, every_s=600):
        write(1, 30)
        wait_for(remote, "checkpoints/stage1/step-0000001/FILES.json")
        write(2, 25)
        time.sleep(0.5)
        assert sent() == {"step-0000001"}  # five minutes of ten
        write(3, 20)  # ten minutes, and the first one was sent a moment ago
        wait_for(remote, "checkpoints/stage1/step-0000003/FILES.json")


def test_the_last_one_is_sent_when_training_is_cut_off(remote: Remote, tmp_path: Path) -> None:
    work = tmp_path / "stage1"

    def train() -> None:
        with sending_checkpoints(remote, "stage1", work, every_s=3600):
            write_checkpoint(work, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert fetch_checkpoint(remote, "stage1", tmp_path / "other") == "step-0000001"


def test_one_that_was_not_sent_whole_is_not_taken(remote: Remote, tmp_path: Path) -> None:
    remote.write("checkpoints/stage1/step-0000009/state.json", b"{}")
    assert fetch_checkpoint(remote, "stage1", tmp_path) is None


def test_a_store_that_refuses_does_not_stop_training(
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise ServiceError("no room")

    monkeypatch.setattr(Remote, "upload", refuse)
    with (
        caplog.at_level(logging.WARNING),
        sending_checkpoints(remote, "stage1", tmp_path / "w", every_s=3600),
    ):
        write_checkpoint(tmp_path / "w", 1)
    assert "was not sent, training goes on: no room" in caplog.text
