"""The plan of a training stage, made without training, downloading or loading anything large."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from clara_model.config import STAGES, Stage
from clara_model.training.dataset import count_micro_batches
from clara_model.training.metrics import read_metrics
from clara_model.training.spec import TrainSpec
from configs.schema import PipelineConfig
from tasks.training.accelerator_profile import detect_accelerator
from tasks.training.cost import (
    count_operations,
    count_trained,
    estimate_disk,
    estimate_memory,
)
from tasks.training.decoder_size import DecoderSize, describe_base, measure_decoder
from tasks.training.example_tokens import (
    Tokens,
    count_examples,
    count_tokens,
    distinct_documents,
    open_rows,
)
from tasks.training.launch import build_spec
from tasks.training.machine import Machine, named_gpu, this_machine
from tasks.workspace import Workspace

_BEST = {"T4": "fp16", "V100": "fp16"}  # of the GPUs that have no bf16
_FITS = 0.9  # share of a device's memory that may be planned for


@dataclass(frozen=True)
class StagePlan:
    """All that is known of a stage before it runs; None where it cannot be known yet."""

    stage: str
    base: str
    rows: int | None
    steps: int | None
    batch_size: int
    micro_batch_size: int
    accumulation: int
    ranks: int
    schedule: str
    trains: dict[str, int] = field(default_factory=dict)
    parameters: int | None = None
    size_from: str = "not known offline"
    tokens_per_example: float | None = None
    tokens_from: str = ""
    memory: dict[str, int] = field(default_factory=dict)
    memory_limit: int = 0
    device: str = ""
    disk: dict[str, int] = field(default_factory=dict)
    disk_free: int = 0
    seconds: float | None = None
    seconds_from: str = ""
    obstacles: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing stands in the way on the planned device."""
        return not self.obstacles

    def as_record(self) -> dict[str, Any]:
        """The plan as a JSON value."""
        return {**asdict(self), "obstacles": list(self.obstacles), "fits": self.fits}


def plan_stages(
    config: PipelineConfig, workspace: Workspace, stages: Sequence[str], gpu: str | None = None
) -> list[StagePlan]:
    """Plan some stages.

    Args:
        config: The pipeline's.
        workspace: Where rows, base and earlier runs may already be.
        stages: Their names, in any order.
        gpu: Name of a GPU in `GPUS` to plan for; None for this machine.

    Raises:
        ConfigError: If a batch cannot be shared out, or nothing would train.
        DataError: If rows are there and wrong.
    """
    size = measure_decoder(config.model, workspace)
    width, inner = (size.hidden, size.inner) if size else (1024, 4096)
    training = config.training
    if training.precision == "auto":
        best = detect_accelerator().precision if gpu is None else _BEST.get(gpu, "bf16")
        training = training.model_copy(update={"precision": best})
        config = config.model_copy(update={"training": training})
    if gpu is None:
        machine = this_machine(training.precision, width, inner)
    else:
        machine = named_gpu(gpu, training.num_processes, training.precision)
    wanted: list[Stage] = [stage for stage in STAGES if stage in stages]
    return [_plan(config, workspace, stage, size, machine) for stage in wanted]


def _plan(
    config: PipelineConfig,
    workspace: Workspace,
    stage: Stage,
    size: DecoderSize | None,
    machine: Machine,
) -> StagePlan:
    spec = build_spec(config, workspace, stage)
    dataset = open_rows(spec)
    steps = dataset.num_steps if dataset else spec.training.steps
    tokens = count_tokens(spec, workspace, dataset, config.negatives.num_candidates)
    micro, accumulation = _micro_batch(spec, size, tokens, machine)
    plan: dict[str, Any] = {
        "stage": stage,
        "base": describe_base(config.model),
        "rows": None if dataset is None else count_examples(dataset),
        "steps": steps,
        "batch_size": spec.training.batch_size,
        "micro_batch_size": micro,
        "accumulation": accumulation,
        "ranks": spec.num_processes,
        "schedule": describe_schedule(spec, steps),
        "tokens_per_example": round(tokens.trained, 1),
        "tokens_from": "rows" if tokens.measured else "lengths that the settings allow",
        "memory_limit": machine.memory,
        "device": machine.name,
        "disk_free": shutil.disk_usage(_existing(workspace.root)).free,
    }
    seconds, basis = _time(spec, size, tokens, steps, machine)
    plan |= {"seconds": seconds, "seconds_from": basis}
    if size is not None:
        documents = distinct_documents(dataset) if stage == "stage3" else 0
        here = (workspace.models / "base" / "config.json").is_file()
        plan |= {
            "parameters": size.parameters,
            "size_from": size.source,
            "trains": count_trained(spec, size),
            "memory": estimate_memory(spec, size, tokens, micro, machine.kind),
            "disk": estimate_disk(spec, size, documents, base_is_here=here),
        }
    return StagePlan(**plan, obstacles=_obstacles(spec, plan, machine))


def describe_schedule(spec: TrainSpec, steps: int | None) -> str:
    """The learning rate in words."""
    training = spec.training
    peak = f"{training.learning_rate:g}"
    if steps is None:
        warmup = f"{100 * training.warmup_ratio:g} % of the steps"
    else:
        # Rounded up, as the trainer does.
        count = -int(-training.warmup_ratio * steps // 1)
        warmup = f"{count} steps"
    then = {
        "constant": "then constant",
        "cosine": "then down to 0 along a cosine",
        "linear": "then down to 0 in a straight line",
    }[training.schedule]
    start = f"up to {peak} over {warmup}, " if training.warmup_ratio > 0 else f"{peak}, "
    return start + then


def _micro_batch(
    spec: TrainSpec, size: DecoderSize | None, tokens: Tokens, machine: Machine
) -> tuple[int, int]:
    """Examples at a time and how often, as set, or by `auto` as many as would fit."""
    number = count_micro_batches(spec)
    per_rank = spec.training.batch_size // spec.num_processes
    if spec.training.micro_batch_size == "auto" and size is not None:
        limit = machine.memory * _FITS
        while number < per_rank:
            memory = estimate_memory(spec, size, tokens, -(-per_rank // number), machine.kind)
            if sum(memory.values()) * _sharing(spec, machine) <= limit:
                break
            number = min(2 * number, per_rank)
    return -(-per_rank // number), number


def _sharing(spec: TrainSpec, machine: Machine) -> int:
    """Ranks that share one memory."""
    return spec.num_processes if machine.kind == "cpu" else 1


def _time(
    spec: TrainSpec,
    size: DecoderSize | None,
    tokens: Tokens,
    steps: int | None,
    machine: Machine,
) -> tuple[float | None, str]:
    """Seconds, and what they rest on."""
    devices = spec.num_processes if machine.kind == "gpu" else 1
    if steps is None:
        words = "unknown until the rows are made"
        if size is not None and machine.flops is not None:
            one = count_operations(spec, size, tokens, 1) / (machine.flops * devices)
            words += f"; {one:.3g} s a step by {machine.basis}"
        return None, words
    if spec.metrics_path.is_file():
        lines = read_metrics(spec.metrics_path)
        rates = [line["examples_per_s"] for line in lines if line.get("examples_per_s")]
        if rates:
            rate = median(rates)
            basis = f"{rate:.3g} examples/s in logs/{spec.stage}, as far as its settings are these"
            return steps * spec.training.batch_size / rate, basis
    if size is None or machine.flops is None:
        return None, machine.basis if size else "unknown without the decoder's size"
    operations = count_operations(spec, size, tokens, steps)
    return operations / (machine.flops * devices), machine.basis


def _obstacles(spec: TrainSpec, plan: dict[str, Any], machine: Machine) -> tuple[str, ...]:
    """Why the stage would not run here as it is set."""
    found = []
    if machine.kind == "cpu":
        if spec.precision == "fp16":
            found.append("training.precision fp16 needs a GPU")
        if spec.model.quantization != "none":
            found.append(f"model.quantization {spec.model.quantization} needs a GPU")
    elif spec.num_processes > machine.count:
        found.append(f"training.num_processes is {spec.num_processes}, GPUs are {machine.count}")
    needed = sum(plan.get("memory", {}).values()) * _sharing(spec, machine)
    if needed > _FITS * machine.memory:
        found.append(
            f"{needed / 1e9:.1f} GB of memory are needed, {machine.memory / 1e9:.1f} GB are there"
        )
    disk = sum(plan.get("disk", {}).values())
    if disk > plan["disk_free"]:
        found.append(
            f"{disk / 1e9:.1f} GB of disk are needed, {plan['disk_free'] / 1e9:.1f} GB are free"
        )
    return tuple(found)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
