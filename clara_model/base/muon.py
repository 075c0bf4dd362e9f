"""Muon: momentum whose matrices are made orthogonal before each step.

It brings the small decoder to reading in about half the steps of AdamW. `torch.optim.Muon` does
the same in bfloat16, which takes seconds a step on a processor without instructions for it; here
everything is float32.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), the
# coefficients of its quintic Newton-Schulz iteration and its number of steps.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# Source: J. Liu et al., "Muon is scalable for LLM training" (arXiv 2502.16982), equation 4: makes
# a step about as large as one of AdamW, whatever the shape.
ADAMW_SCALE = 0.2


class Muon(torch.optim.Optimizer):
    """For weight matrices only; embeddings, norms and biases belong to AdamW.

    Args:
        params: Two-dimensional parameters.
        lr: Learning rate, on AdamW's scale.
        momentum: Of the gradient's moving average (Nesterov).
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 1.0e-2, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])
                size = ADAMW_SCALE * max(parameter.shape) ** 0.5
                parameter.add_(orthogonalize(ahead), alpha=-group["lr"] * size)


def orthogonalize(matrix: Tensor) -> Tensor:
    """A matrix with about the same singular vectors, its singular values drawn near to 1."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
