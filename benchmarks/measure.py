"""One measurement in a process of its own: `python -m benchmarks.measure JOB.json RESULT.json`."""

from __future__ import annotations

import gc
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import torch

from benchmarks.ours import OurTrainer, choose_steps, heaviest_step, write_spec
from benchmarks.plain import PlainTrainer, StepResult
from benchmarks.rows import Row, load_pretrain_rows, rows_of_stage, texts
from benchmarks.shapes import SHAPES, build_model, train_tokenizer
from clara_model import Clara
from clara_model.errors import ClaraError
from clara_model.training.spec import TrainSpec

T = TypeVar("T")

# Relative. Both orders of summation are right; bf16 has 8 bits of mantissa, and gradients of many
# layers add up their roundings.
LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 1e-2}
NORM_TOLERANCE = {"fp32": 1e-3, "bf16": 1e-1}

_NUM_ROWS = 400  # of stages 2 and 3, from which steps are taken


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Args:
        what: "time" (both implementations in turn) or "memory" (one of them).
        stage: "stage1", "stage2" or "stage3".
        shape: Key of `SHAPES`.
        repeats: Timed blocks of each implementation.
        block: Steps of a block.
        implementation: Whose memory.
        rate: Compression rate.
        device: "cpu" or "cuda".
        dtype: "fp32" or "bf16".
        checkpointing: Recompute activations, in both.
        shared: Folder of the given rows; None to look for it.
    """

    what: Literal["time", "memory"]
    stage: str
    shape: str = "small"
    repeats: int = 3
    block: int = 2
    implementation: Literal["plain", "ours"] = "ours"
    rate: int = 16
    device: str = "cpu"
    dtype: str = "fp32"
    checkpointing: bool = False
    shared: str | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Examples of a step, and of a forward pass."""
        shape, number = SHAPES[self.shape], int(self.stage[-1]) - 1
        return shape.batch[number], shape.micro[number]


@dataclass
class Side:
    """One implementation's figures; lists hold one entry a block.

    Seconds are wall-clock; `cpu_s` is what the process itself computed, however busy the machine.
    """

    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    lm_losses: list[float] = field(default_factory=list)
    mse_losses: list[float] = field(default_factory=list)
    positions: int = 0
    useful: int = 0
    labelled: int = 0
    compress_s: float = 0.0  # a passage, in stage 3

    def add(self, results: list[StepResult], seconds: float, cpu_s: float) -> None:
        """Take a block's results; its losses are means over its tokens and its documents."""
        labelled = sum(r.labelled for r in results)
        documents = sum(r.documents for r in results)
        self.lm_losses.append(sum(r.lm_loss * r.labelled for r in results) / labelled)
        self.mse_losses.append(sum(r.mse_loss * r.documents for r in results) / documents)
        self.seconds.append(seconds)
        self.cpu_s.append(cpu_s)
        self.positions += sum(r.positions for r in results)
        self.useful += sum(r.useful for r in results)
        self.labelled += labelled


@dataclass
class Timing:
    """Both implementations over the same rows, and how far their results are apart."""

    examples: int  # of a block
    plain: Side = field(default_factory=Side)
    ours: Side = field(default_factory=Side)
    loss_difference: float = 0.0
    norm_difference: float = 0.0


def difference(name: str, plain: float, ours: float, tolerance: float) -> float:
    """Relative difference of two implementations' results.

    Raises:
        ClaraError: If it exceeds the tolerance, or a number is not finite: then they do not
            compute the same, and their times say nothing.
    """
    found = abs(plain - ours) / max(abs(plain), 1e-12)
    if not found <= tolerance:  # NaN is not
        raise ClaraError(
            f"the {name} of the plain implementation is {plain:.8g}, ours is {ours:.8g}: they "
            f"differ by {found:.2e}, more than {tolerance:.0e}; nothing was compared"
        )
    return found


def measure_time(job: Job, folder: Path) -> Timing:
    """Time blocks of steps in turn, plain, ours, plain, ours: a machine's drift meets both alike.

    First, as a warm-up, one step of each over the same rows: losses and gradient norms must agree.
    A block of ours is some of the trainer's steps, whose rows are of like length. The plain block
    takes the same rows in random order, as without grouping. The losses over a block must agree.
    """
    model, spec = _prepare(job, folder)
    batch, micro = job.sizes
    steps = choose_steps(spec, 1 + job.repeats * job.block)
    plain, ours = PlainTrainer(model, job.stage, micro), OurTrainer(model, spec)
    result = Timing(examples=job.block * batch)
    if job.stage == "stage3":
        _time_compression(steps, plain, ours, result, job)
    _check_same_step(plain, ours, steps[0], result, job)
    for start in range(1, len(steps) - job.block + 1, job.block):
        our_steps = steps[start : start + job.block]
        for trainer, side, block in (
            (plain, result.plain, _ungrouped(our_steps, batch)),
            (ours, result.ours, our_steps),
        ):
            side.add(*_timed(lambda t=trainer, b=block: [t.step(rows) for rows in b], job.device))  # type: ignore[misc]
        _compare_losses(
            (result.plain.lm_losses[-1], result.ours.lm_losses[-1]),
            (result.plain.mse_losses[-1], result.ours.mse_losses[-1]), result, job,
        )  # fmt: skip
    return result


def measure_memory(job: Job, folder: Path) -> float:
    """Peak of the bytes held in tensors above the loaded model's, in an epoch's largest step.

    On a GPU from torch's own count; on a CPU from the profiler's record of every allocation, which
    other than the process's resident memory does not depend on what the allocator keeps back.
    Gradients and the optimizer's state are in it; files that are mapped into memory are not.
    """
    model, spec = _prepare(job, folder)
    batch, micro = job.sizes
    steps = choose_steps(spec, 1 << 30)
    if job.implementation == "plain":
        steps = _ungrouped(steps, batch)
    rows = heaviest_step(model, spec, steps)
    del steps
    gc.collect()
    loaded = torch.cuda.memory_allocated() if job.device == "cuda" else 0

    def start() -> OurTrainer | PlainTrainer:
        if job.implementation == "plain":
            return PlainTrainer(model, job.stage, micro)
        trainer = OurTrainer(model, spec)
        if job.stage == "stage3":
            trainer.compress_all([text for row in rows for text in row["docs"]])
        return trainer

    def work(trainer: OurTrainer | PlainTrainer) -> None:
        trainer.step(rows[: -(-batch // micro)])  # the first step makes the optimizer's state
        trainer.step(rows)

    if job.device == "cpu":
        trainer, held, _ = _tracked(start)
        return held + _tracked(lambda: work(trainer))[2]
    trainer = start()
    torch.cuda.reset_peak_memory_stats()
    work(trainer)
    return torch.cuda.max_memory_allocated() - loaded


def _check_same_step(
    plain: PlainTrainer, ours: OurTrainer, rows: list[Row], result: Timing, job: Job
) -> None:
    a, b = plain.step(rows), ours.step(rows)
    _compare_losses((a.lm_loss, b.lm_loss), (a.mse_loss, b.mse_loss), result, job)
    result.norm_difference = difference("gradient norm", a.norm, b.norm, NORM_TOLERANCE[job.dtype])


def _compare_losses(
    lm: tuple[float, float], mse: tuple[float, float], result: Timing, job: Job
) -> None:
    tolerance = LOSS_TOLERANCE[job.dtype]
    found = [difference("answer's loss", *lm, tolerance)]
    if job.stage != "stage3":
        found.append(difference("MSE loss", *mse, tolerance))
    result.loss_difference = max(result.loss_difference, *found)


def _time_compression(
    steps: list[list[Row]], plain: PlainTrainer, ours: OurTrainer, result: Timing, job: Job
) -> None:
    """Seconds a passage: ours all that stage 3 needs, plain as many as two steps read."""
    passages = list(dict.fromkeys(t for rows in steps for row in rows for t in row["docs"]))
    result.ours.compress_s = ours.compress_all(passages) / len(passages)
    size = job.sizes[1] * len(steps[0][0]["docs"])
    some = random.Random(0).sample(passages, min(2 * size, len(passages)))

    def compress() -> None:
        with torch.no_grad():
            for start in range(0, len(some), size):
                plain.compress(some[start : start + size])

    _, seconds, _ = _timed(compress, job.device)
    result.plain.compress_s = seconds / len(some)


def _ungrouped(steps: list[list[Row]], batch: int) -> list[list[Row]]:
    """The same rows in random order."""
    rows = [row for step in steps for row in step]
    random.Random(0).shuffle(rows)
    return [rows[i : i + batch] for i in range(0, len(rows), batch)]


def _tracked(work: Callable[[], T]) -> tuple[T, int, int]:
    """What the work gives, the bytes that it leaves allocated, and the most it had."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        value = work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held, peak = 0, 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return value, held, peak


def _prepare(job: Job, folder: Path) -> tuple[Clara, TrainSpec]:
    shape = SHAPES[job.shape]
    pretrain, _ = load_pretrain_rows(Path(job.shared) if job.shared else None)
    tokenizer = train_tokenizer(texts(pretrain), shape.tokenizer_vocab)
    model = build_model(shape, tokenizer, rate=job.rate, dtype=job.dtype, device=job.device)
    model.prepare_stage(job.stage)
    if job.checkpointing:
        model.enable_gradient_checkpointing()
    batch, micro = job.sizes
    count = len(pretrain) if job.stage == "stage1" else _NUM_ROWS
    rows = rows_of_stage(pretrain, job.stage, math.floor(count / batch) * batch, shape.pool)
    spec = write_spec(model, job.stage, rows, folder, batch=batch, micro=micro, dtype=job.dtype)
    return model, spec


def _timed(work: Callable[[], T], device: str) -> tuple[T, float, float]:
    """What the work gives, its wall-clock seconds, and the process's own."""
    if device == "cuda":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    if device == "cuda":
        torch.cuda.synchronize()
    return value, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Read a job, write its result."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        result = (
            asdict(measure_time(job, Path(folder)))
            if job.what == "time"
            else measure_memory(job, Path(folder))
        )
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
