"""What a stage would run on: this machine's processor or GPU, or a GPU that is named."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Literal

_GB = 10**9
# Dense matrix products, TFLOP/s in half precision and in float32, and memory in GB, as the makers
# state them. The first name that is found in the device's own is taken.
GPUS: dict[str, tuple[float, float, int]] = {
    "H200": (989, 67, 141),
    "H100": (989, 67, 80),
    "A100": (312, 19.5, 80),
    "L40S": (362, 91.6, 48),
    "RTX 4090": (165, 82.6, 24),
    "RTX 3090": (71, 35.6, 24),
    "A10": (125, 31.2, 24),
    "L4": (121, 30.3, 24),
    "V100": (125, 15.7, 32),
    "T4": (65, 8.1, 16),
}
# Share of a GPU's stated rate that training reaches.
GPU_SHARE = 0.4
# The same of a processor's timed product of the decoder's own size.
CPU_SHARE = 0.5
_TIMED_S = 0.3
# Larger products are no faster, and one in half precision may take a processor half a minute.
_ROWS, _WIDTH, _INNER = 64, 1024, 4096


@dataclass(frozen=True)
class Machine:
    """One device of a training run.

    Args:
        name: For people.
        kind: "gpu" or "cpu".
        count: Devices of this kind; ranks share the one processor.
        memory: Bytes of one device.
        flops: Operations a second that training is expected to reach on one; None: not known.
        basis: Where that number comes from.
    """

    name: str
    kind: Literal["gpu", "cpu"]
    count: int
    memory: int
    flops: float | None
    basis: str


def named_gpu(name: str, count: int, precision: str) -> Machine:
    """GPUs of the table, as if this machine had them.

    Raises:
        KeyError: If the table has none of that name.
    """
    half, single, memory = GPUS[name]
    peak = single if precision == "fp32" else half
    return Machine(f"{count} x {name}", "gpu", count, memory * _GB, peak * 1e12 * GPU_SHARE,
                   _gpu_basis(peak, name))  # fmt: skip


def this_machine(precision: str, width: int, inner: int) -> Machine:
    """The GPUs here, or else the processor.

    Args:
        precision: Of the training.
        width: Hidden size of the decoder: small products are slow, so its own are timed.
        inner: Its feed-forward width.
    """
    import torch

    if not torch.cuda.is_available():
        width, inner = min(width, _WIDTH), min(inner, _INNER)
        flops = _timed_product(precision, width, inner)
        return Machine(
            f"{os.cpu_count()} processor cores", "cpu", 1, _main_memory(), flops * CPU_SHARE,
            f"{100 * CPU_SHARE:.0f} % of the {flops / 1e9:.0f} GFLOP/s that a product of "
            f"{width} x {inner} reached here",
        )  # fmt: skip
    name, count = torch.cuda.get_device_name(), torch.cuda.device_count()
    memory = torch.cuda.get_device_properties(0).total_memory
    known = next((gpu for gpu in GPUS if gpu.replace("RTX ", "") in name), None)
    if known is None:
        return Machine(name, "gpu", count, memory, None, f"{name} is in no table of rates")
    peak = GPUS[known][1 if precision == "fp32" else 0]
    basis = _gpu_basis(peak, known)
    return Machine(f"{count} x {name}", "gpu", count, memory, peak * 1e12 * GPU_SHARE, basis)


def _gpu_basis(peak: float, name: str) -> str:
    return f"{100 * GPU_SHARE:.0f} % of the {peak:g} TFLOP/s stated for the {name}"


def _timed_product(precision: str, width: int, inner: int) -> float:
    """Operations a second of the largest product in a layer, over a fraction of a second."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.ones(_ROWS, width, dtype=dtype), torch.ones(width, inner, dtype=dtype)
    left @ right  # the first one sets threads up
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < _TIMED_S:
        left @ right
        done += 1
    return done * 2 * _ROWS * width * inner / (time.perf_counter() - started)


def _main_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
