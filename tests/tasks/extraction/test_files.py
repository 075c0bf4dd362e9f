"""What the input folder holds: everything becomes a job, with a problem where it cannot be read."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.extraction import workers
from tasks.extraction.convert import extract_documents
from tasks.extraction.files import list_files
from tasks.extraction.read import Job, read_file
from tasks.manifests import hash_path
from tasks.storage import read_records
from tasks.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "input"
    (folder / "sub" / ".git").mkdir(parents=True)
    (folder / "sub" / ".git" / "config").write_text("hidden")
    (folder / "linked").symlink_to(folder / "sub")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "two\nlines.txt").write_text("The ferry sails at noon.")
    os.mkfifo(folder / "pipe.txt")
    for byte in (b"\xe8", b"\xe9"):
        (folder / os.fsdecode(b"caf" + byte + b".txt")).write_bytes(b"Coffee in cup " + byte)
    return folder


def test_nothing_is_left_out_in_silence(folder: Path) -> None:
    jobs = {job.file_path: job for job in list_files(folder)}
    assert {name: job.problem for name, job in jobs.items()} == {
        "caf\ufffd.txt": "",
        "caf\\xe9.txt": "",  # told apart from the other one
        "linked": "a link to a folder: not followed",
        "loop.txt": "cannot be opened (Too many levels of symbolic links)",
        "pipe.txt": "neither a file nor a folder",
        "two\nlines.txt": "",
    }
    assert jobs["caf\ufffd.txt"].path.read_bytes().endswith(b"\xe8")
    assert list(jobs) == sorted(jobs)


def test_names_that_are_no_text_can_be_hashed_and_remembered(folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    first = hash_path(folder, workspace)
    assert hash_path(folder, workspace) == first
    assert "caf\\\\xe9.txt" in (workspace.manifests / ".hashes.json").read_text(encoding="utf-8")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("Tea in a cup")
    assert hash_path(folder, workspace) != first


@pytest.mark.slow
def test_worker_that_has_to_wait_for_the_processor_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.txt").write_text("The ferry sails at noon.")
    send = workers._send

    def send_and_pause(worker: workers._Worker, job: workers.Job) -> None:
        pid = worker.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        send(worker, job)
        threading.Timer(3.0, os.kill, (pid, signal.SIGCONT)).start()

    monkeypatch.setattr(workers, "_send", send_and_pause)
    config = PipelineConfig.model_validate(
        {"extraction": {"input": tmp_path / "input", "timeout_s": 2.0}}
    )
    workspace = Workspace(tmp_path / "workspace")
    extract_documents(config, workspace)
    assert [row["content"] for row in read_records(workspace.raw_knowledge)] == [
        "The ferry sails at noon."
    ]


def test_signs_that_nobody_sees_become_spaces_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text("\x1b[31mRed\x07 lamps.\x0cNext page.\u2028Last line.", encoding="utf-8")
    settings = PipelineConfig().extraction
    record = read_file(Job(path, "odd.txt", "0"), tmp_path, tmp_path / "assets", settings)
    assert record["row"]["content"] == " [31mRed  lamps.\nNext page.\nLast line."
