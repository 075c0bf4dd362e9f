"""Differentiable selection of documents."""

from __future__ import annotations

import torch
from torch import Tensor


def straight_through_topk(scores: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor]:
    """Pick k candidates one after another, keeping a gradient to the scores.

    Slot j is a softmax over the candidates that slots before it left; its forward value is the
    one-hot of the largest, its gradient that of the softmax.

    Args:
        scores: (B, N), higher is better.
        k: Slots; 1 <= k <= N.
        temperature: Of the softmax, above 0.

    Returns:
        selection (B, k, N), one-hot rows; index (B, k) int64, best first.

    Raises:
        ValueError: If k or the temperature is out of range.

    Source:
        arXiv 2511.18659, appendix on the differentiable top-k selector.
    """
    num_candidates = scores.shape[-1]
    if not 1 <= k <= num_candidates:
        raise ValueError(f"cannot pick k={k} of {num_candidates} candidates")
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    taken = torch.zeros_like(scores, dtype=torch.bool)
    selection, index = [], []
    for _ in range(k):
        soft = (scores / temperature).masked_fill(taken, float("-inf")).softmax(dim=-1)
        # On the scores, not on `soft`: close to certainty several weights round to the same value.
        best = scores.detach().masked_fill(taken, float("-inf")).argmax(dim=-1)
        hard = torch.zeros_like(soft).scatter_(-1, best.unsqueeze(-1), 1.0)
        selection.append(hard + (soft - soft.detach()))
        index.append(best)
        taken = taken.scatter(-1, best.unsqueeze(-1), True)
    return torch.stack(selection, dim=1), torch.stack(index, dim=1)
