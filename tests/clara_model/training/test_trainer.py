"""The training loop on a tiny decoder, with a real DeepSpeed engine on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clara_model import Clara
from clara_model.errors import ClaraError, ConfigError
from clara_model.training.engine import Ranks
from clara_model.training.metrics import MetricsLog, read_metrics
from clara_model.training.spec import TrainSpec
from clara_model.training.stages import make_batch
from clara_model.training.trainer import Trainer

MakeSpec = Callable[..., TrainSpec]


class Killed(Exception):
    pass


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.name}/{name}": tensor
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def _train(spec: TrainSpec, ranks: Ranks) -> dict[str, torch.Tensor]:
    Trainer(spec, ranks).train()
    return _weights(spec.output)


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def _near(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    # AdamW divides by the gradient's size, so rounding shows in weights whose gradient is small.
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=5e-4)


def _kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write = MetricsLog.write

    def stop(self: MetricsLog, line: dict) -> None:
        if line["step"] == step:
            raise Killed
        write(self, line)

    monkeypatch.setattr(MetricsLog, "write", stop)


@pytest.fixture
def stage1(make_spec: MakeSpec, ranks: Ranks) -> Path:
    """A trained checkpoint of stage 1."""
    spec = make_spec("stage1", training={"steps": 2})
    Trainer(spec, ranks).train()
    return spec.output


def test_the_loss_falls_on_rows_seen_again_and_again(make_spec: MakeSpec, ranks: Ranks) -> None:
    spec = make_spec("stage1", training={"steps": 40, "learning_rate": 3e-2},
                     model={"lora_dropout": 0.0, "lora_r": 8})  # fmt: skip
    Trainer(spec, ranks).train()
    losses = [line["loss"] for line in read_metrics(spec.metrics_path)]
    assert len(losses) == 40
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_every_line_tells_what_a_step_did(make_spec: MakeSpec, ranks: Ranks) -> None:
    spec = make_spec("stage1", training={"steps": 2})
    Trainer(spec, ranks).train()
    first, second = read_metrics(spec.metrics_path)
    assert (first["step"], second["step"], second["steps"]) == (1, 2, 2)
    assert first["loss"] == pytest.approx(first["lm_loss"] + 0.1 * first["mse_loss"])
    assert min(first["grad_norm"], first["examples_per_s"], first["tokens_per_s"]) > 0
    assert 0 <= first["padding"] < 1
    assert 0 < first["learning_rate"] < second["learning_rate"]


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_run_cut_off_at_any_step_ends_with_the_same_weights(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = make_spec("stage1", work=tmp_path / "other", logs=tmp_path / "other")
    expected = _train(whole, ranks)
    spec = make_spec("stage1", output=tmp_path / "cut" / "stage1")
    with monkeypatch.context() as patch:
        _kill_at(step, patch)
        with pytest.raises(Killed):
            Trainer(spec, ranks).train()
    assert not spec.output.exists()
    assert _same(_train(spec, ranks), expected)
    assert [line["step"] for line in read_metrics(spec.metrics_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "options",
    [{"zero_stage": 0}, {"zero_stage": 1}, {"precision": "bf16"},
     pytest.param({"zero_stage": 3}, marks=pytest.mark.slow)],
    ids=str,
)  # fmt: skip
def test_every_zero_stage_and_precision_continues_exactly(
    make_spec: MakeSpec,
    ranks: Ranks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict,
) -> None:
    places = {"work": tmp_path / "other", "logs": tmp_path / "other"}
    expected = _train(make_spec("stage1", **places, **options), ranks)
    spec = make_spec("stage1", output=tmp_path / "cut" / "stage1", **options)
    with monkeypatch.context() as patch:
        _kill_at(4, patch)
        with pytest.raises(Killed):
            Trainer(spec, ranks).train()
    assert _same(_train(spec, ranks), expected)


def test_the_last_two_checkpoints_are_kept(make_spec: MakeSpec, ranks: Ranks) -> None:
    spec = make_spec("stage1")
    Trainer(spec, ranks).train()
    assert sorted(p.name for p in spec.work.glob("step-*")) == ["step-0000004", "step-0000006"]


def test_micro_batches_do_not_change_the_weights(make_spec: MakeSpec, ranks: Ranks) -> None:
    plain = {"model": {"lora_dropout": 0.0}}
    whole = _train(make_spec("stage1", **plain), ranks)
    for micro in (1, 3):
        spec = make_spec("stage1", training={"micro_batch_size": micro}, **plain)
        _near(_train(spec, ranks), whole)


@pytest.mark.parametrize("zero_stage", [0, 1, 3])
def test_zero_stages_train_the_same_weights(
    make_spec: MakeSpec, ranks: Ranks, zero_stage: int
) -> None:
    plain = {"model": {"lora_dropout": 0.0}}
    expected = _train(make_spec("stage1", **plain), ranks)
    _near(_train(make_spec("stage1", zero_stage=zero_stage, **plain), ranks), expected)


def test_bfloat16_trains(make_spec: MakeSpec, ranks: Ranks) -> None:
    weights = _train(make_spec("stage1", precision="bf16", training={"steps": 2}), ranks)
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_stage2_continues_the_decoder_or_starts_it_afresh(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path
) -> None:
    def start(init: str) -> dict[str, torch.Tensor]:
        spec = make_spec("stage2", init=stage1, training={"decoder_init": init})
        state = Trainer(spec, ranks).model.adapters.state("decoder_adapter")
        return {name: value.clone() for name, value in state.items()}

    trained = Clara.from_pretrained(stage1).adapters.state("decoder_adapter")
    assert _same(start("stage1"), trained)
    fresh = start("fresh")
    assert all(not value.any() for name, value in fresh.items() if "lora_B" in name)


def test_stage3_reads_memories_and_computes_the_loss_of_compressing(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path
) -> None:
    trainer = Trainer(make_spec("stage3", init=stage1), ranks)
    rows = trainer.dataset.batch(0)
    losses = []
    for memory in (trainer.memory, None):
        batch = make_batch(rows, trainer.model, trainer.spec, step=0, memory=memory)
        assert ("enc_input_ids" in batch) == (memory is None)
        trainer.model.eval()
        losses.append(float(trainer.model(stage="stage3", **batch).loss.detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_stage3_trains_only_query_reasoner_and_decoder(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path
) -> None:
    spec = make_spec("stage3", init=stage1)
    after = _train(spec, ranks)
    before = _weights(stage1)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("decoder_adapter" in name for name in changed)
    assert any("query_reasoner" in name for name in after.keys() - before.keys())
    line = read_metrics(spec.metrics_path)[-1]
    assert 0 <= line["recall_at_1"] <= line["recall_at_k"] <= 1


def test_a_checkpoint_of_another_rate_is_refused(
    make_spec: MakeSpec, ranks: Ranks, stage1: Path
) -> None:
    spec = make_spec("stage2", init=stage1, model={"compr_rate": 12})
    with pytest.raises(ConfigError, match=r"compr_rate 6, but model\.compr_rate is 12"):
        Trainer(spec, ranks)


def _poison(trainer: Trainer, bad_steps: set[int]) -> None:
    """Make the loss of some steps NaN, in the model's own output."""

    def spoil(module: object, inputs: object, output: object) -> None:
        if trainer.step in bad_steps:
            output.lm_loss = output.lm_loss * float("nan")  # type: ignore[attr-defined]

    trainer.model.register_forward_hook(spoil)


@pytest.mark.parametrize("zero_stage", [0, 2])
def test_a_step_without_a_finite_loss_changes_no_weight(
    make_spec: MakeSpec, ranks: Ranks, zero_stage: int
) -> None:
    spec = make_spec("stage1", zero_stage=zero_stage, training={"steps": 2})
    trainer = Trainer(spec, ranks)
    _poison(trainer, {0, 1})
    before = {k: v.detach().clone() for k, v in trainer.model.trainable_parameters()}
    trainer.train()
    assert _same(before, dict(trainer.model.trainable_parameters()))
    assert [line["skipped"] for line in read_metrics(spec.metrics_path)] == [1, 2]


def test_training_goes_on_after_a_bad_step(make_spec: MakeSpec, ranks: Ranks) -> None:
    spec = make_spec("stage1")
    trainer = Trainer(spec, ranks)
    _poison(trainer, {1, 2, 4})
    trainer.train()
    losses = [line["loss"] for line in read_metrics(spec.metrics_path)]
    assert [loss is None for loss in losses] == [False, True, True, False, True, False]


def test_three_bad_steps_in_a_row_end_the_run(make_spec: MakeSpec, ranks: Ranks) -> None:
    spec = make_spec("stage1")
    trainer = Trainer(spec, ranks)
    _poison(trainer, {2, 3, 4})
    with pytest.raises(ClaraError, match=r"step 5; step 2 is the last good checkpoint"):
        trainer.train()
    assert not spec.output.exists()
