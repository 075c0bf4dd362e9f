"""Which losses are so high that their step is left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
import torch

from clara_model.errors import ClaraError
from clara_model.training.engine import Ranks
from clara_model.training.health import LossWatch, highest_healthy_loss
from clara_model.training.metrics import read_metrics
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer

MakeSpec = Callable[..., TrainSpec]


@pytest.mark.parametrize(
    ("losses", "vocab_size", "bound"),
    [
        ([5.0] * 19, 100, math.inf),  # too few to compare with
        ([5.0] * 20, 100, 15.0),  # three times the median
        ([2.0] * 30 + [7.0], 100, 8.0),  # a nat above the highest
        ([0.01] * 50, 10_000, math.log(10_000) / 2),  # half of what guessing loses
        ([9.0] * 10 + [1.0] * 50, 2, 3.0),  # what lies further back is forgotten
    ],
)
def test_a_healthy_loss_is_below_all_three_bounds(
    losses: list[float], vocab_size: int, bound: float
) -> None:
    assert highest_healthy_loss(losses, vocab_size) == pytest.approx(bound)


def _explode(trainer: Trainer, bad_steps: set[int]) -> None:
    """Make the loss of some steps a hundred times what it is, gradients and all."""

    def spoil(module: object, inputs: object, output: object) -> None:
        if trainer.step in bad_steps:
            output.lm_loss = output.lm_loss * 100  # type: ignore[attr-defined]

    trainer.model.register_forward_hook(spoil)


def _trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.trainable_parameters()}


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_an_exploding_step_changes_no_weight(
    make_spec: MakeSpec, ranks: Ranks, zero_stage: int
) -> None:
    # The rate falls to exactly 0 in no step, so only leaving it out keeps the weights.
    spec = make_spec("stage1", zero_stage=zero_stage,
                     training={"steps": 22, "checkpoint_every": 20})  # fmt: skip
    trainer = Trainer(spec, ranks)
    _explode(trainer, {20, 21})
    trainer.train()
    stored = spec.work / "step-0000020" / "trained.safetensors"
    from safetensors.torch import load_file

    from clara_model.training.checkpoint import _trained_weights

    before, after = load_file(stored), dict(_trained_weights(trainer.engine))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [line["skipped"] for line in read_metrics(spec.metrics_path)][19:] == [0, 1, 2]


def test_three_exploding_steps_end_the_run_at_the_last_good_checkpoint(
    make_spec: MakeSpec, ranks: Ranks
) -> None:
    training = {"steps": 30, "checkpoint_every": 1}
    trainer = Trainer(make_spec("stage1", training=training), ranks)
    _explode(trainer, {22, 23, 24})
    with pytest.raises(ClaraError, match=r"the last being step 25; step 22 is the last good"):
        trainer.train()
    newest = sorted(trainer.spec.work.glob("step-*"))[-1]
    assert json.loads((newest / "state.json").read_text())["step"] == 22


def test_what_losses_were_before_is_known_to_a_run_that_continues(
    make_spec: MakeSpec, ranks: Ranks
) -> None:
    spec = make_spec("stage1", training={"steps": 25, "checkpoint_every": 22})
    first = Trainer(spec, ranks)
    _explode(first, {23})
    first.model.register_forward_hook(lambda *_: None if first.step < 24 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        first.train()
    again = Trainer(spec, ranks)
    _explode(again, {22})
    again.train()
    lines = read_metrics(spec.metrics_path)
    assert [line["grad_norm"] is None for line in lines[21:]] == [False, True, False, False]


def test_half_precision_may_look_for_its_loss_scale_but_not_for_ever(make_spec: MakeSpec) -> None:
    watch = LossWatch(make_spec("stage1", precision="fp16"), vocab_size=300)
    for step in range(15):
        watch.note(step, 5.0, was_applied=False)
    watch.note(15, 5.0, was_applied=True)
    for step in range(16, 31):
        watch.note(step, 5.0, was_applied=False)
    assert watch.bad_in_row == 0
    with pytest.raises(
        ClaraError, match=r"not finite in 16 steps in a row, the last being step 32"
    ):
        watch.note(31, 5.0, was_applied=False)
