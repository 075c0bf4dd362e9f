"""What happens where memory runs out: nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ports import free_port
from safetensors.torch import load_file

from clara_model.errors import ClaraError
from clara_model.training.engine import Ranks
from clara_model.training.metrics import MetricsLog, read_metrics
from clara_model.training.micro_batch import (
    MicroBatches,
    halve_until_it_fits,
    is_out_of_memory,
    number_that_fits,
)
from clara_model.training.probe import probe
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer

MakeSpec = Callable[..., TrainSpec]
ROOT = Path(__file__).resolve().parents[3]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.name}/{name}": tensor
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def _places(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in ("output", "work", "logs")}


def _give_memory_for(
    rows: int, trainer: Trainer, *, when: str, from_step: int = 0
) -> list[tuple[int, int]]:
    """Let the first layer fail on more rows, from a step on; returns (step, rows) of failures."""
    failures: list[tuple[int, int]] = []

    def fail(width: int) -> None:
        failures.append((trainer.step, width))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def watch(layer: object, inputs: object, output: object) -> None:
        hidden = output if isinstance(output, torch.Tensor) else output[0]  # type: ignore[index]
        width = len(hidden)
        if trainer.step < from_step or width <= rows:
            return
        if when == "forward":
            fail(width)
        elif hidden.requires_grad:
            # By then the layers above have their gradients.
            hidden.register_hook(lambda gradient: fail(width))

    trainer.model.decoder.base_model.layers[0].register_forward_hook(watch)
    return failures


@pytest.mark.parametrize("when", ["forward", "backward"])
@pytest.mark.parametrize("zero_stage", [0, 2])
def test_a_step_that_does_not_fit_is_repeated_with_half_the_rows(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, zero_stage: int, when: str
) -> None:
    places = _places(tmp_path / "fixed")
    training = {"micro_batch_size": 1, "steps": 3}
    fixed = make_spec("stage1", training=training, zero_stage=zero_stage, **places)
    Trainer(fixed, ranks).train()
    expected = _weights(fixed.output)
    spec = make_spec("stage1", training={"steps": 3}, zero_stage=zero_stage)
    trainer = Trainer(spec, ranks)
    failures = _give_memory_for(1, trainer, when=when)
    trainer.train()
    assert failures == [(0, 4), (0, 2)]  # found once
    # Dropout is drawn again, too, so even with it both are alike to the last bit.
    assert _same(_weights(spec.output), expected)


def test_memory_may_run_out_later_even_with_a_given_size(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = {"model": {"lora_dropout": 0.0}}
    whole = make_spec("stage1", **plain, **_places(tmp_path / "whole"))
    Trainer(whole, ranks).train()
    expected = _weights(whole.output)
    spec = make_spec("stage1", training={"micro_batch_size": 4}, **plain)
    trainer = Trainer(spec, ranks)
    failures = _give_memory_for(2, trainer, when="backward", from_step=3)
    trainer.train()
    assert failures == [(3, 4)]
    assert "out of memory with 4 examples at a time; trying 2" in caplog.text
    for name, value in _weights(spec.output).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=5e-4)


class Killed(Exception):
    pass


def test_a_run_that_continues_does_not_search_again(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the step that ran out of memory, continued before it: cut as the first time."""
    options = {"checkpoint_every": 2}
    places = _places(tmp_path / "other")
    undisturbed = Trainer(make_spec("stage1", training=options, **places), ranks)
    _give_memory_for(2, undisturbed, when="backward", from_step=3)
    undisturbed.train()
    spec = make_spec("stage1", training=options)
    first = Trainer(spec, ranks)
    _give_memory_for(2, first, when="backward", from_step=3)

    def stop(self: MetricsLog, line: dict) -> None:
        if line["step"] == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", stop)
        with pytest.raises(Killed):
            first.train()
    second = Trainer(spec, ranks)
    failures = _give_memory_for(2, second, when="backward", from_step=3)
    second.train()
    assert failures == []
    assert [second.micro.at(step) for step in range(5)] == [1, 1, 1, 2, 2]
    assert _same(_weights(spec.output), _weights(undisturbed.spec.output))


def test_a_single_row_that_does_not_fit_ends_the_run_with_a_remedy(
    make_spec: MakeSpec, ranks: Ranks
) -> None:
    trainer = Trainer(make_spec("stage1"), ranks)
    _give_memory_for(0, trainer, when="backward")
    with pytest.raises(ClaraError, match=r"single example.*gradient_checkpointing=true"):
        trainer.train()


@pytest.mark.slow
def test_zero_3_continues_with_half_after_a_new_start(make_spec: MakeSpec, ranks: Ranks) -> None:
    spec = make_spec("stage1", zero_stage=3, training={"steps": 3, "checkpoint_every": 1})
    trainer = Trainer(spec, ranks)
    _give_memory_for(2, trainer, when="backward", from_step=1)
    with pytest.raises(ClaraError, match=r"4 examples at a time under ZeRO 3.* with 2 at a time"):
        trainer.train()
    again = Trainer(spec, ranks)
    failures = _give_memory_for(2, again, when="backward", from_step=1)
    again.train()
    assert failures == []
    assert [line["step"] for line in read_metrics(spec.metrics_path)] == [1, 2, 3]


@pytest.mark.parametrize("zero_stage", [0, 2])
def test_a_trial_finds_what_fits_and_changes_nothing(
    make_spec: MakeSpec, ranks: Ranks, zero_stage: int
) -> None:
    trainer = Trainer(make_spec("stage1", zero_stage=zero_stage), ranks)
    before = {name: p.detach().clone() for name, p in trainer.model.trainable_parameters()}
    rows = trainer.dataset.longest_rows(4)
    failures = _give_memory_for(1, trainer, when="backward")
    number = probe(trainer.model, trainer.spec, ranks, rows, trainer._make_batch, num_micro=1)
    assert (number, failures) == (4, [(0, 4), (0, 2)])
    after = dict(trainer.model.trainable_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is None for p in after.values())


def test_other_errors_pass_through() -> None:
    def attempt(number: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        halve_until_it_fits(attempt, 1, 8, where="here")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: no memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
    ids=["cuda", "cpu", "cublas", "other", "other type"],
)  # fmt: skip
def test_out_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_torchs_own_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("needed", "available", "expected"),
    [(100, 1000, 1), (500, 1000, 1), (501, 1000, 2), (2000, 1000, 4), (10**9, 1000, 16)],
)
def test_a_cpu_is_given_half_of_what_is_free(needed: int, available: int, expected: int) -> None:
    assert number_that_fits(needed, available, most=16) == expected


def test_what_another_run_found_is_not_used(make_spec: MakeSpec) -> None:
    spec = make_spec("stage1")
    spec.work.mkdir(parents=True)
    MicroBatches.open(spec).set(0, 2, write=True)
    assert MicroBatches.open(spec).at(5) == 2
    for change in ({"training": {"seed": 9}}, {"gradient_checkpointing": True}):
        assert MicroBatches.open(make_spec("stage1", **change)).at(5) is None


@pytest.mark.parametrize("zero_stage", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_ranks_agree_when_one_of_them_runs_out_of_memory(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, zero_stage: int
) -> None:
    options = {"model": {"lora_dropout": 0.0}, "zero_stage": zero_stage}
    training = {"steps": 3, "eval_every": 2, "learning_rate": 1e-3}
    alone = make_spec("stage1", training=training, **options, **_places(tmp_path / "alone"))
    Trainer(alone, ranks).train()
    spec = make_spec("stage1", training=training, num_processes=2, **options)
    path = tmp_path / "spec.json"
    path.write_text(spec.model_dump_json(), encoding="utf-8")
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    script = ROOT / "tests" / "support" / "rank_with_little_memory.py"
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(path), "1"],
            env=os.environ | place | {"PYTHONPATH": str(ROOT), "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0]
    assert MicroBatches.open(spec).found == [(0, 2)]
    expected = _weights(alone.output)
    for name, value in _weights(spec.output).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)
    for one, other in zip(*map(read_metrics, (alone.metrics_path, spec.metrics_path)), strict=True):
        for name in ("loss", "eval_loss", "eval_em", "eval_f1"):
            assert one.get(name) == pytest.approx(other.get(name), abs=1e-4)
