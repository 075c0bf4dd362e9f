"""DeepSpeed behind a few functions: processes, engine, learning rate."""

from __future__ import annotations

import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from clara_model.errors import ConfigError
from clara_model.training.spec import StagePart, TrainSpec

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# One rank may compress a large collection while the others wait for it.
_TIMEOUT = timedelta(days=2)


@dataclass(frozen=True)
class Ranks:
    """This process among all of a training run."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and metrics."""
        return self.rank == 0


def start_ranks(precision: str = "fp32") -> Ranks:
    """Join the process group that RANK, WORLD_SIZE and so on describe: NCCL on GPUs, else gloo.

    Raises:
        ConfigError: If this machine cannot train in that precision.
    """
    has_gpu = torch.cuda.is_available()
    if precision == "fp16" and not has_gpu:
        raise ConfigError(
            "training.precision is fp16, which needs a GPU, and there is none; use bf16 or fp32"
        )
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if has_gpu else "cpu")
    with _without("mlflow"):
        # DeepSpeed imports it for its autotuner, if it can: two seconds that nobody here needs.
        import deepspeed
    # On CPUs it would compile a shared-memory operation first (22 s, and it needs ninja); gloo
    # does the same. An empty table also spares the probing of all operations.
    deepspeed.ops.__compatible_ops__ = {}
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    backend = "nccl" if has_gpu else "gloo"
    # Two ranks would fill the log: DeepSpeed calls these names of torch's in every step.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    deepspeed.init_distributed(dist_backend=backend, timeout=_TIMEOUT, verbose=False)
    return Ranks(dist.get_rank(), dist.get_world_size(), device)


def start_engine(model: Clara, spec: TrainSpec, num_micro: int) -> DeepSpeedEngine:
    """Wrap a model that is prepared for its stage."""
    import deepspeed

    parameters = [parameter for _, parameter in model.trainable_parameters()]
    training = spec.training
    optimizer = torch.optim.AdamW(
        parameters,
        lr=training.learning_rate,
        betas=(0.9, training.adam_beta2),
        weight_decay=training.weight_decay,
    )
    size = sum(parameter.numel() for parameter in parameters)
    engine, *_ = deepspeed.initialize(
        model=model,
        model_parameters=parameters,
        optimizer=optimizer,
        config=_engine_config(spec, num_micro, size),
    )
    return engine


def set_learning_rate(engine: DeepSpeedEngine, value: float) -> None:
    """Set the rate of the next update."""
    for group in engine.optimizer.param_groups:
        group["lr"] = value


def learning_rate(training: StagePart, step: int, num_steps: int) -> float:
    """The rate of a step, the first being 0: linear warm-up, then the schedule down to zero."""
    warmup = math.ceil(training.warmup_ratio * num_steps)
    if step < warmup:
        return training.learning_rate * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(num_steps - warmup, 1)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - share,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * share)),
    }[training.schedule]
    return training.learning_rate * factor


def all_reduce_sum(values: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """Sum of a small tensor over all ranks."""
    if ranks.count > 1:
        dist.all_reduce(values)
    return values


def barrier(ranks: Ranks) -> None:
    """Wait for all ranks."""
    if ranks.count > 1:
        dist.barrier()


def update(engine: DeepSpeedEngine, max_norm: float) -> float | None:
    """Do the optimizer's part of the last micro-batch.

    Returns:
        Norm of the gradients before clipping; None where it is not finite. Then weights and
        optimizer stay as they are.
    """
    if engine.optimizer is engine.basic_optimizer:
        return _update_plain(engine, max_norm)
    engine.step()
    norm = engine.get_global_grad_norm()
    return float(norm) if engine.was_step_applied() and norm is not None else None


def _update_plain(engine: DeepSpeedEngine, max_norm: float) -> float | None:
    """Without ZeRO, in float32, DeepSpeed has torch's optimizer take any gradients as they are."""
    parameters = [p for group in engine.optimizer.param_groups for p in group["params"]]
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(grads)
    if torch.isfinite(norm):
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
        engine.step()
        return float(norm)
    engine.optimizer.zero_grad(set_to_none=True)
    engine.step()
    return None


@contextmanager
def whole_weights(engine: DeepSpeedEngine, model: Clara) -> Iterator[None]:
    """Have every rank hold all weights, which ZeRO 3 otherwise spreads out."""
    if engine.zero_optimization_stage() < 3:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(list(model.parameters())):
        yield


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let imports of a package fail, unless it is there already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


def _engine_config(spec: TrainSpec, num_micro: int, size: int) -> dict[str, Any]:
    per_rank = spec.training.batch_size // spec.num_processes
    is_plain = spec.zero_stage == 0 and spec.precision == "fp32"
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": -(-per_rank // num_micro),
        "gradient_accumulation_steps": num_micro,
        # Plain float32 gradients are clipped by `_update_plain`.
        "gradient_clipping": 0.0 if is_plain else spec.training.max_grad_norm,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": spec.zero_stage,
            # Its own default is a buffer of 500 million numbers, however small the model.
            "reduce_bucket_size": min(size, 500_000_000),
            "allgather_bucket_size": min(size, 500_000_000),
            **_offload(spec),
        },
        # The optimizer is torch's, on the CPU as well: DeepSpeed's own would have to be compiled.
        "zero_force_ds_cpu_optimizer": False,
    }
    if spec.precision == "bf16":
        config["bf16"] = {"enabled": True, "check_grad_overflow": True}
    elif spec.precision == "fp16":
        config["fp16"] = {"enabled": True}
    return config


def _offload(spec: TrainSpec) -> dict[str, Any]:
    """What ZeRO keeps in main memory: optimizer states and master weights, or all weights."""
    if spec.offload == "none":
        return {}
    place = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    offload: dict[str, Any] = {"offload_optimizer": place}
    if spec.offload == "all":
        offload["offload_param"] = place
    return offload
