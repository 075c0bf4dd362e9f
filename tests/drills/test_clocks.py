"""Clocks that jump: times in the past or the future decide nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from drill import Drill, MakeDrill

pytestmark = pytest.mark.slow

PAST, FUTURE = 981_173_106, 3_800_000_000  # 2001 and 2090, in seconds since 1970


def test_files_manifests_and_leases_of_other_times_change_nothing(
    undisturbed: Drill, copy_of_it: MakeDrill, tmp_path: Path
) -> None:
    drill = copy_of_it(tmp_path / "of_it")
    root = drill.workspace
    drill.overrides = ("--set", "execution.lease_s=4")
    for number, path in enumerate(sorted((root / "manifests").glob("[!.]*.json"))):
        manifest = json.loads(path.read_text())
        manifest["finished"] = ("2090-01-01", "1970-01-01")[number % 2] + "T00:00:00+00:00"
        path.write_text(json.dumps(manifest))
    for number, path in enumerate(sorted(p for p in root.rglob("*") if p.is_file())):
        os.utime(path, times=((PAST, FUTURE)[number % 2],) * 2)
    times = {path: path.stat().st_mtime for path in (root / "models").rglob("*.safetensors")}

    # Of a worker elsewhere that died; by its own clock it has only just begun, in 2090.
    lease = {"owner": "abc", "who": "eve@elsewhere", "pid": 7, "machine": "elsewhere", "beat": 3,
             "started": "1", "since": "2090-01-01T00:00:00+00:00"}  # fmt: skip
    (root / "leases").mkdir()
    for step in ("mine", "report"):
        (root / "manifests" / f"{step}.json").unlink()
        path = root / "leases" / f"{step}.json"
        path.write_text(json.dumps(lease))
        os.utime(path, times=(FUTURE, FUTURE))
    said = drill.run("run")
    assert said.count("eve@elsewhere (process 7, since 2090-01-01T00:00:00+00:00) is gone") == 2
    assert [line for line in said.splitlines() if ": done in" in line and "mine:" not in line
            and "report:" not in line] == []  # fmt: skip
    assert drill.results() == undisturbed.results()
    assert {path: path.stat().st_mtime for path in times} == times
    assert "Everything is up to date." in drill.run("run")
