"""Following a run by its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model.training.metrics import MetricsLog
from clara_model.training.spec import TrainSpec
from configs.schema import PipelineConfig
from tasks.training.follow import MetricsFollower
from tasks.training.launch import build_spec
from tasks.workspace import Workspace


@pytest.fixture
def spec(tmp_path: Path, make_config: Callable[..., PipelineConfig]) -> TrainSpec:
    return build_spec(make_config(), Workspace(tmp_path), "stage1")


def _line(step: int) -> dict:
    return {"step": step, "steps": 9, "loss": 1.0, "examples_per_s": 2.0}


def test_every_line_is_handed_on_once(spec: TrainSpec) -> None:
    seen: list[dict] = []
    with MetricsFollower(spec, seen.extend) as follower:
        follower.poll()
        metrics = MetricsLog(spec.metrics_path, last_step=0)
        for step in (1, 2, 3):
            metrics.write(_line(step))
            follower.poll()
        follower.poll()
    assert [line["step"] for line in seen] == [1, 2, 3]


def test_lines_of_a_cut_off_try_wait_until_the_file_is_cut(spec: TrainSpec) -> None:
    earlier = MetricsLog(spec.metrics_path, last_step=0)
    for step in (1, 2, 3):
        earlier.write(_line(step))
    earlier.close()
    seen: list[dict] = []
    with MetricsFollower(spec, seen.extend) as follower:
        follower.poll()
        assert seen == []
        continued = MetricsLog(spec.metrics_path, last_step=2)
        continued.write(_line(3))
        follower.poll()
    assert [line["step"] for line in seen] == [1, 2, 3]


def test_a_line_that_is_being_written_waits_for_its_end(spec: TrainSpec) -> None:
    seen: list[dict] = []
    with MetricsFollower(spec, seen.extend) as follower:
        spec.logs.mkdir(parents=True)
        with spec.metrics_path.open("w") as stream:
            stream.write('{"step": 1, "steps": 9, "loss": null,')
            stream.flush()
            follower.poll()
            assert seen == []
            stream.write(' "examples_per_s": 1.0}' + os.linesep)
            stream.flush()
            follower.poll()
    assert seen == [{"step": 1, "steps": 9, "loss": None, "examples_per_s": 1.0}]


def test_trouble_with_tracking_is_told_once_and_ends_nothing(
    spec: TrainSpec, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[list[int]] = []

    def record(lines: list[dict]) -> None:
        seen.append([line["step"] for line in lines])
        if len(seen) < 3:
            raise ConnectionError("no route to the server")

    with MetricsFollower(spec, record) as follower:
        metrics = MetricsLog(spec.metrics_path, last_step=0)
        for step in (1, 2, 3, 4):
            metrics.write(_line(step))
            follower.poll()
    # What was not recorded comes again, and nothing twice.
    assert seen == [[1], [1, 2], [1, 2, 3], [4]]
    assert caplog.text.count("no route to the server") == 1
    assert str(spec.metrics_path) in caplog.text


def test_progress_tells_speed_memory_and_the_last_held_out_loss(
    spec: TrainSpec, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.progress._LINE_EVERY_S", 0.0)
    caplog.set_level("INFO")
    with MetricsFollower(spec, None) as follower:
        follower.poll()
        metrics = MetricsLog(spec.metrics_path, last_step=0)
        metrics.write(_line(1) | {"eval_loss": 0.5})
        metrics.write(_line(2) | {"tokens_per_s": 3000.4, "gpu_gb": 7.25, "eta_s": 3725.0})
        follower.poll()
    assert (
        "2/9, 1:02:05 left, loss 1.000, 2 examples/s, 3000 tokens/s, 7.2 GB of GPU memory, "
        "held out 0.500"
    ) in caplog.text
