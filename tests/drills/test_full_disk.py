"""The disk of the workspace runs full: one line says so, and with room the same command goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drill import Drill, MakeDrill, recorded_steps

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a tmpfs takes root")
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let a tmpfs be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, but: int) -> Path:
    """Leave so many bytes free."""
    filler = folder / "filler"
    with filler.open("wb") as stream:
        stream.write(bytes(shutil.disk_usage(folder).free - but))
    return filler


def test_a_full_disk_loses_nothing_and_is_said_in_one_line(
    undisturbed: Drill, copy_of_it: MakeDrill, small_disk: Path
) -> None:
    drill = copy_of_it(small_disk / "of_it")
    shutil.rmtree(drill.workspace / "cache")
    drill.forget("synthesize", "stage2")
    (drill.workspace / "synthesis.jsonl").unlink()
    # Too little for the replies, and for MLflow's database, which is to be made as well.
    filler = fill(small_disk, but=250_000)
    said = " ".join(drill.run("run", code=1).split())
    assert "No space left on device" in said
    assert "make room" in said
    assert "run the same command again" in said
    filler.unlink()
    drill.run("synthesize")
    filler = fill(small_disk, but=300_000)
    said = " ".join(drill.run("train", "stage2", code=1).split())
    assert "GB of disk space will be needed" in said
    assert "make room" in said
    filler.unlink()
    drill.run("run")
    assert drill.results() == undisturbed.results()
    recorded = recorded_steps(drill.workspace / "mlflow.db")
    assert {"synthesize", "stage2"} <= set(recorded)
    assert len(recorded) == len(set(recorded))
