"""A run that was cut off continues before the damage, and ends as if there had been none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from clara_model.training.engine import Ranks
from clara_model.training.metrics import MetricsLog, read_metrics
from clara_model.training.process import Stopped, StopRequest
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_training_passes_over_a_damaged_checkpoint_and_ends_the_same(
    make_spec: Callable[..., TrainSpec], ranks: Ranks, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    training = {"checkpoint_every": 1}
    places = {name: tmp_path / "whole" / name for name in ("output", "work", "logs")}
    whole = make_spec("stage1", training=training, **places)
    Trainer(whole, ranks).train()
    spec, stop = make_spec("stage1", training=training), StopRequest()
    write = MetricsLog.write

    def stop_soon(self: MetricsLog, line: dict) -> None:
        stop.is_made = line["step"] == 3
        write(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", stop_soon)
        trainer = Trainer(spec, ranks, stop)
        with pytest.raises(Stopped):
            trainer.train()
    newest = max(spec.work.glob("step-*"))
    before = int(newest.name.removeprefix("step-")) - 1
    _flip(max(newest.rglob("*.pt"), key=lambda path: path.stat().st_size))
    trainer = Trainer(spec, ranks)
    assert trainer.start is not None
    assert trainer.start.progress.step == before
    assert trainer.start.is_exact
    assert f"{newest} is damaged" in caplog.text
    assert "is not what was written" in caplog.text
    trainer.train()
    for path in whole.output.glob("*.safetensors"):
        ours, theirs = load_file(spec.output / path.name), load_file(path)
        assert all(ours[name].equal(theirs[name]) for name in theirs)
    assert [line["step"] for line in read_metrics(spec.metrics_path)] == [1, 2, 3, 4, 5, 6]
