"""What the input folder holds: everything becomes a job, with a problem where it cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.extraction.files import list_files
from tasks.extraction.read import Job, read_file
from tasks.manifests import hash_path
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


def test_signs_that_nobody_sees_become_spaces_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text("\x1b[31mRed\x07 lamps.\x0cNext page.\u2028Last line.", encoding="utf-8")
    settings = PipelineConfig().extraction
    record = read_file(Job(path, "odd.txt", "0"), tmp_path, tmp_path / "assets", settings)
    assert record["row"]["content"] == " [31mRed  lamps.\nNext page.\nLast line."
