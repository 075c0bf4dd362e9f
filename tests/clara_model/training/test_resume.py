"""What a run that was cut off, stopped or changed continues from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clara_model.errors import CheckpointError, ConfigError
from clara_model.training.engine import Ranks
from clara_model.training.metrics import MetricsLog, read_metrics
from clara_model.training.process import Stopped, StopRequest
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer

MakeSpec = Callable[..., TrainSpec]
Weights = dict[str, torch.Tensor]


def _output(spec: TrainSpec) -> Weights:
    return {f"{path.name}/{name}": tensor
            for path in sorted(spec.output.glob("*.safetensors"))
            for name, tensor in load_file(path).items()}  # fmt: skip


def _trained(trainer: Trainer) -> Weights:
    return {name: p.detach().clone() for name, p in trainer.model.trainable_parameters()}


def _same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def _checkpoints(spec: TrainSpec) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in spec.work.glob("step-*"))


def _stop_in_step(step: int, stop: StopRequest, patch: pytest.MonkeyPatch) -> None:
    """As a signal would that arrives while the line of the step before is written."""
    write = MetricsLog.write

    def note(self: MetricsLog, line: dict) -> None:
        stop.is_made = stop.is_made or line["step"] == step - 1
        write(self, line)

    patch.setattr(MetricsLog, "write", note)


@pytest.fixture
def cut_off(
    make_spec: MakeSpec, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainSpec]:
    """Trains a spec's first three of six steps, to be continued."""

    def cut(**options: object) -> TrainSpec:
        spec, stop = make_spec("stage1", **options), StopRequest()
        with monkeypatch.context() as patch:
            _stop_in_step(3, stop, patch)
            with pytest.raises(Stopped, match="after step 3 of 6"):
                Trainer(spec, ranks, stop).train()
        return spec

    return cut


def test_a_run_asked_to_stop_saves_its_step_and_continues_from_there(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, cut_off: Callable[..., TrainSpec]
) -> None:
    whole = make_spec("stage1", **{n: tmp_path / "whole" / n for n in ("output", "work", "logs")})
    Trainer(whole, ranks).train()
    spec = cut_off()
    assert _checkpoints(spec) == [2, 3]
    assert not spec.output.exists()
    Trainer(spec, ranks).train()
    assert _same(_output(spec), _output(whole))


def test_lost_metrics_come_back_from_the_checkpoint(
    ranks: Ranks, cut_off: Callable[..., TrainSpec]
) -> None:
    spec = cut_off()
    before = read_metrics(spec.metrics_path)
    spec.metrics_path.unlink()
    Trainer(spec, ranks).train()
    after = read_metrics(spec.metrics_path)
    assert after[:3] == before
    assert [line["step"] for line in after] == [1, 2, 3, 4, 5, 6]


def test_checkpoints_are_written_by_the_clock_as_well(make_spec: MakeSpec, ranks: Ranks) -> None:
    training = {"checkpoint_every": 100, "checkpoint_minutes": 1e-9}
    spec = make_spec("stage1", keep_checkpoints=3, training=training)
    Trainer(spec, ranks).train()
    assert _checkpoints(spec) == [4, 5, 6]


@pytest.mark.parametrize(
    ("before", "after"),
    [({"zero_stage": 2}, {"zero_stage": 0}), ({"zero_stage": 0}, {"zero_stage": 2}),
     ({"zero_stage": 3}, {"zero_stage": 1}),
     pytest.param({"zero_stage": 1}, {"zero_stage": 3}, marks=pytest.mark.slow),
     pytest.param({"precision": "bf16", "zero_stage": 2}, {"precision": "bf16", "zero_stage": 3},
                  marks=pytest.mark.slow),
     pytest.param({"precision": "bf16", "zero_stage": 3}, {"precision": "bf16", "zero_stage": 0},
                  marks=pytest.mark.slow)],
    ids=str,
)  # fmt: skip
def test_weights_continue_under_another_zero_stage(
    make_spec: MakeSpec, ranks: Ranks, cut_off: Callable[..., TrainSpec],
    caplog: pytest.LogCaptureFixture, before: dict, after: dict,
) -> None:  # fmt: skip
    from clara_model.training.checkpoint import _trained_weights

    stored = load_file(cut_off(**before).work / "step-0000003" / "trained.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    trainer = Trainer(make_spec("stage1", **after), ranks)
    trainer._resume()
    # In half precision, the optimizer's float32 numbers to the last digit.
    assert _same(dict(_trained_weights(trainer.engine)), stored)
    change = f"ZeRO stage: {before['zero_stage']} -> {after['zero_stage']}"
    assert f"the weights of step 3 continue, the optimizer starts anew ({change})" in caplog.text
    trainer.train()
    assert len(read_metrics(trainer.spec.metrics_path)) == 6


def test_what_only_saves_memory_continues_exactly(
    make_spec: MakeSpec, ranks: Ranks, cut_off: Callable[..., TrainSpec],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    cut_off()
    Trainer(make_spec("stage1", training={"micro_batch_size": 2}), ranks).train()
    assert "starts anew" not in caplog.text


def test_other_settings_are_refused_with_the_difference(
    make_spec: MakeSpec, ranks: Ranks, cut_off: Callable[..., TrainSpec]
) -> None:
    cut_off()
    other = make_spec("stage1", inputs_hash="other", training={"learning_rate": 1e-3})
    with pytest.raises(ConfigError) as caught:
        Trainer(other, ranks)
    message = str(caught.value)
    assert "  training.stage1.learning_rate: 0.01 -> 0.001\n" in message
    assert "  rows, base or starting weights changed\n" in message
    assert message.count("\n  ") == 2
    assert "--set training.resume=restart" in message


def test_restart_discards_a_run_with_other_settings(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, cut_off: Callable[..., TrainSpec]
) -> None:
    settings = {"training": {"learning_rate": 1e-3}}
    fresh = make_spec(
        "stage1", **{n: tmp_path / "fresh" / n for n in ("output", "work", "logs")}, **settings
    )
    Trainer(fresh, ranks).train()
    cut_off()
    spec = make_spec("stage1", resume="restart", **settings)
    Trainer(spec, ranks).train()
    assert _same(_output(spec), _output(fresh))
    assert _checkpoints(spec) == [4, 6]


def test_continue_keeps_weights_and_step_of_a_run_with_other_settings(
    make_spec: MakeSpec, ranks: Ranks, cut_off: Callable[..., TrainSpec],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    stored = load_file(cut_off().work / "step-0000003" / "trained.safetensors")
    spec = make_spec("stage1", resume="continue", training={"learning_rate": 1e-3})
    trainer = Trainer(spec, ranks)
    assert _same(_trained(trainer), stored)
    trainer.train()
    assert "training.stage1.learning_rate: 0.01 -> 0.001" in caplog.text
    lines = read_metrics(spec.metrics_path)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert max(line["learning_rate"] for line in lines[3:]) <= 1e-3


def test_continue_refuses_fewer_steps_than_are_done(
    make_spec: MakeSpec, ranks: Ranks, cut_off: Callable[..., TrainSpec]
) -> None:
    cut_off()
    trainer = Trainer(make_spec("stage1", resume="continue", training={"steps": 2}), ranks)
    with pytest.raises(ConfigError, match="further than the 2 steps of stage1 now"):
        trainer.train()


def test_continue_refuses_weights_of_another_shape(
    make_spec: MakeSpec, ranks: Ranks, cut_off: Callable[..., TrainSpec]
) -> None:
    cut_off()
    with pytest.raises(CheckpointError, match="is trained now"):
        Trainer(make_spec("stage1", resume="continue", model={"lora_r": 3}), ranks)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    ranks: Ranks, cut_off: Callable[..., TrainSpec], caplog: pytest.LogCaptureFixture
) -> None:
    spec = cut_off()
    (spec.work / "step-0000003" / "state.json").write_text('{"identity": "')
    caplog.set_level("INFO", logger="clara_model.training")
    Trainer(spec, ranks).train()
    assert "continuing after step 2 of 6" in caplog.text
