"""What a GPU is good for: precision, examples at a time, and how often a checkpoint is due.

python -m tasks.training.accelerator_profile      prints settings for CLARA_MACHINE_SETTINGS
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clara_model.training.progress import finished
from clara_model.training.spec import TrainSpec

Precision = Literal["fp32", "bf16", "fp16"]

_BF16_SINCE = 8  # CUDA compute capability: Ampere
_STAGES = ("stage1", "stage2", "stage3")


@dataclass(frozen=True)
class AcceleratorProfile:
    """Settings for one kind of device.

    Args:
        name: Of the device.
        precision: In which it trains best.
        micro_batch: Examples at a time, with a decoder of about 4 billion weights. What does not
            fit is halved by the trainer; smaller decoders can be given more.
        checkpoint_minutes: What a cut session may lose.
        gradient_checkpointing: Whether memory is scarcer than time.
    """

    name: str
    precision: Precision
    micro_batch: int
    checkpoint_minutes: float
    gradient_checkpointing: bool

    def settings(self) -> tuple[str, ...]:
        """Overrides that change no result."""
        return (
            *(f"training.{s}.micro_batch_size={self.micro_batch}" for s in _STAGES),
            *(f"training.{s}.checkpoint_minutes={self.checkpoint_minutes:g}" for s in _STAGES),
            f"training.gradient_checkpointing={str(self.gradient_checkpointing).lower()}",
        )


def profile_accelerator(
    name: str, memory_gb: float, capability: tuple[int, int]
) -> AcceleratorProfile:
    """The profile of a GPU.

    Sessions on a T4 are free and end without notice; those on larger GPUs are paid for, and their
    checkpoints cost dearer seconds.

    Args:
        name: As the driver says it, such as "Tesla T4".
        memory_gb: Of the device.
        capability: CUDA compute capability; bfloat16 needs 8.0.
    """
    precision: Precision = "bf16" if capability[0] >= _BF16_SINCE else "fp16"
    if memory_gb < 20:  # T4, V100
        return AcceleratorProfile(name, precision, 1, 3.0, gradient_checkpointing=True)
    if memory_gb < 32:  # L4, A10, RTX 3090
        return AcceleratorProfile(name, precision, 2, 5.0, gradient_checkpointing=True)
    if memory_gb < 64:  # A100 40 GB, L40S
        return AcceleratorProfile(name, precision, 4, 10.0, gradient_checkpointing=True)
    return AcceleratorProfile(name, precision, 8, 10.0, gradient_checkpointing=False)


def detect_accelerator() -> AcceleratorProfile:
    """The profile of this machine's first GPU, or of its processor."""
    import torch

    if not torch.cuda.is_available():
        return AcceleratorProfile("processor", "fp32", 1, 5.0, gradient_checkpointing=False)
    properties = torch.cuda.get_device_properties(0)
    return profile_accelerator(
        properties.name, properties.total_memory / 1e9, torch.cuda.get_device_capability(0)
    )


def choose_precision(work: Path, best: Precision | None = None) -> Precision:
    """The precision for `training.precision: auto`.

    A stage that was cut off continues in its own, where this device can: exactly, then.

    Args:
        work: Folder of the stage's checkpoints.
        best: Of the device; None for this machine's.
    """
    best = best or detect_accelerator().precision
    earlier = _earlier(work)
    # Every GPU computes in fp16 and fp32; a processor in fp32 and bf16.
    able: dict[Precision, set[str]] = {
        "bf16": {"bf16", "fp16", "fp32"}, "fp16": {"fp16", "fp32"}, "fp32": {"fp32", "bf16"},
    }  # fmt: skip
    return earlier if earlier is not None and earlier in able[best] else best


def let_precision_change(spec: TrainSpec) -> TrainSpec:
    """Have the weights of a cut-off stage continue, if nothing but its precision is another."""
    found = finished(spec.work)
    if not found or spec.resume != "refuse":
        return spec
    own = spec.settings
    settings = found[-1][1].settings
    is_other = settings.get("training.precision") != spec.precision
    if is_other and settings | {"training.precision": spec.precision} == own:
        return spec.model_copy(update={"resume": "continue"})
    return spec


def _earlier(work: Path) -> Precision | None:
    found = finished(work)
    value = found[-1][1].settings.get("training.precision") if found else None
    return value if value in ("fp32", "bf16", "fp16") else None


if __name__ == "__main__":
    sys.stdout.write(" ".join(detect_accelerator().settings()) + "\n")
