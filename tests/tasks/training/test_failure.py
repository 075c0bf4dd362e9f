"""Which rank is named, and quoted, when a run fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model.training.spec import TrainSpec
from configs.schema import PipelineConfig
from tasks.training.failure import describe_failure
from tasks.training.launch import build_spec
from tasks.workspace import Workspace

SUMMARY = """\
[0]:
  time      : 2026-01-01_10:00:00
  host      : here
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 8)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 8
"""


@pytest.fixture
def spec(tmp_path: Path, make_config: Callable[..., PipelineConfig]) -> TrainSpec:
    spec = build_spec(make_config(num_processes=2), Workspace(tmp_path), "stage1")
    spec.work.mkdir(parents=True)
    spec.error_path(0).write_text("Connection closed by peer\n")
    return spec


def _noticed(rank: int, code: int) -> str:
    where = "E1121 torch/distributed/elastic/api.py:7]"
    return f"{where} failed (exitcode: {code}) local_rank: {rank} (pid: 7)"


def test_the_rank_that_failed_first_is_quoted(spec: TrainSpec) -> None:
    spec.error_path(1).write_text("Traceback\nValueError: the cause\n")
    log = ["step", _noticed(1, 1), "torchrun's own words"]
    assert describe_failure(spec, 1, log) == "Traceback\nValueError: the cause"


def test_a_killed_rank_is_named_with_the_log_up_to_there(spec: TrainSpec) -> None:
    closing = "W1121 torch/distributed/elastic/a.py:8] Sending process 7 closing signal SIGTERM"
    log = ["continuing after step 5", "", closing, "[rank0]: reset by peer", _noticed(1, -9)]
    said = describe_failure(spec, 1, log).splitlines()
    assert said[0].startswith("rank 1 was ended by SIGKILL")
    assert said[1:] == ["continuing after step 5"]


def test_a_killed_rank_is_named_although_another_failed_at_once(spec: TrainSpec) -> None:
    log = ["step", _noticed(0, 1), *SUMMARY.splitlines()]
    assert describe_failure(spec, 1, log).startswith("rank 1 was ended by SIGKILL")


def test_a_rank_that_torchrun_had_to_kill_is_not_the_cause(spec: TrainSpec) -> None:
    forced = "Unable to shutdown process 8 via 15, forcefully exiting via SIGKILL"
    log = ["step", _noticed(0, 1), forced, *SUMMARY.splitlines()]
    assert describe_failure(spec, 1, log) == "Connection closed by peer"


def test_the_only_rank_may_be_killed(spec: TrainSpec) -> None:
    assert describe_failure(spec, -15, ["a", "b"]).splitlines() == [
        "rank 0 was ended by SIGTERM", "a", "b",
    ]  # fmt: skip
