"""Room on the disk is asked for before it is needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from clara_model.errors import ClaraError
from clara_model.training.engine import Ranks
from clara_model.training.space import Need, require_space, size_of
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer

MB = 1_000_000


def _free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size))


@pytest.mark.parametrize(("free", "fits"), [(32 * MB, True), (31 * MB, False)])
def test_needs_on_one_file_system_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    # 30 MB and the margin of 5 % are 31.5 MB.
    _free(monkeypatch, free)
    needs = [Need(tmp_path / "not" / "there", 10 * MB, "this"), Need(tmp_path, 20 * MB, "that")]
    if fits:
        require_space(needs, remedy="move")
        return
    with pytest.raises(ClaraError) as caught:
        require_space(needs, remedy="move")
    message = str(caught.value)
    assert str(tmp_path / "not" / "there") in message
    assert "0.0315 GB of disk space" in message
    assert "0.031 GB are free" in message
    assert "this 0.01 GB, that 0.02 GB" in message
    assert message.endswith("make room, move")


def test_what_is_there_already_needs_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _free(monkeypatch, 0)
    require_space([Need(tmp_path, -5, "checkpoints")], remedy="move")


def test_a_stage_without_room_does_not_start(
    make_spec: Callable[..., TrainSpec], ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    _free(monkeypatch, 1000)
    with pytest.raises(ClaraError, match=r"checkpoints on the way .* the trained model"):
        Trainer(make_spec("stage1"), ranks)


@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_the_estimate_covers_what_is_written(
    make_spec: Callable[..., TrainSpec], ranks: Ranks, monkeypatch: pytest.MonkeyPatch,
    zero_stage: int,
) -> None:  # fmt: skip
    from clara_model.training import space

    spec = make_spec("stage1", zero_stage=zero_stage)
    trainer = Trainer(spec, ranks)
    estimate = space._checkpoint_size(trainer.model, spec)
    model = space._model_size(trainer.model)
    trainer.train()
    headers = 200_000  # names of tensors, and metrics: they do not grow with the model
    assert size_of(spec.work / "step-0000006") < estimate + headers
    weights = sum(path.stat().st_size for path in spec.output.glob("*.safetensors"))
    assert weights == pytest.approx(model, abs=headers)


def test_a_full_disk_ends_the_run_before_a_checkpoint_is_begun(
    make_spec: Callable[..., TrainSpec], ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(make_spec("stage1"), ranks)
    _free(monkeypatch, 1000)
    with pytest.raises(ClaraError, match=r"the next checkpoint .* continues after its last"):
        trainer.train()
    assert not list(trainer.spec.work.glob("*step-*"))
