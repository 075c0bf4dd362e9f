"""How long the rest of a training run will take, and what it takes of the GPU."""

from __future__ import annotations

import time

import torch

from clara_model.training.metrics import Line

_SMOOTHING = 0.9  # weight of what was known before a step


class Pace:
    """Time left, by a running mean of the seconds from one step's end to the next.

    Evaluations and checkpoints count, as the rest of the run will have them, too.

    Args:
        num_steps: Of the whole run.
        now: Seconds on some clock at the start of the first step; None for this machine's.
    """

    def __init__(self, num_steps: int, now: float | None = None) -> None:
        self._num_steps = num_steps
        self._last = time.monotonic() if now is None else now
        self._sum = self._weight = 0.0

    def seconds_left(self, step: int, now: float | None = None) -> float:
        """Called after each step with the number of steps done."""
        now = time.monotonic() if now is None else now
        self._sum = _SMOOTHING * self._sum + (now - self._last)
        self._weight = _SMOOTHING * self._weight + 1
        self._last = now
        return self._sum / self._weight * (self._num_steps - step)


def gpu_memory(device: torch.device) -> Line:
    """`gpu_gb`: the most that was allocated on a GPU since the start; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    return {"gpu_gb": round(torch.cuda.max_memory_allocated(device) / 2**30, 2)}
