"""The two losses: next token on the answer, and memory close to its document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clara_model.encoding import IGNORED
from clara_model.errors import DataError

LOSS_CHUNK = 1024


def answer_loss(
    hidden: Tensor,
    labels: Tensor,
    project: Callable[[Tensor], Tensor],
    *,
    weights: Sequence[Tensor] = (),
    chunk: int = LOSS_CHUNK,
) -> Tensor:
    """Mean cross entropy of the labelled tokens; logits are made for these positions only.

    More positions than `chunk` are taken chunk by chunk, and a chunk's gradients are computed with
    its loss, so that no more than `chunk` x V numbers are in memory at any time.

    Args:
        hidden: Last hidden states, (B, T, H).
        labels: (B, T); `IGNORED` where there is nothing to learn.
        project: From hidden states (P, H) to logits (P, V).
        weights: Those of `project` that are trained.
        chunk: Most positions whose logits are in memory at a time.

    Raises:
        DataError: If no token is labelled, which would give NaN.
    """
    targets = labels[:, 1:]
    labelled = targets != IGNORED
    if not labelled.any():
        raise DataError("no token of the batch is labelled; leave out examples without an answer")
    states, wanted = hidden[:, :-1][labelled], targets[labelled]  # (P, H), (P,)

    def summed(states: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(project(states).float(), wanted, reduction="sum")

    if len(wanted) <= chunk:
        return summed(states, wanted) / len(wanted)
    total: Tensor = _ChunkedSum.apply(summed, chunk, wanted, states, *weights)
    return total / len(wanted)


class _ChunkedSum(torch.autograd.Function):
    """A loss summed over chunks of positions, its gradients made in the forward pass.

    Not torch's checkpointing: that keeps frozen weights as they are after the forward pass, when
    ZeRO 3 has already freed them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        chunk: int,
        wanted: Tensor,
        states: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        of_states: list[Tensor] = []
        of_weights: list[Tensor | None] = [None] * len(weights)
        for part, targets in zip(states.split(chunk), wanted.split(chunk), strict=True):
            if not any(ctx.needs_input_grad):
                total += loss(part, targets)
                continue
            part = part.detach().requires_grad_()
            with torch.enable_grad():
                value = loss(part, targets)
            found = torch.autograd.grad(value, [part, *weights], allow_unused=True)
            total += value.detach()
            of_states.append(found[0])
            of_weights = [_sum(a, b) for a, b in zip(of_weights, found[1:], strict=True)]
        ctx.dtypes = [weight.dtype for weight in weights]
        ctx.save_for_backward(torch.cat(of_states) if of_states else None, *of_weights)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> Any:
        of_states, *of_weights = ctx.saved_tensors
        scaled = [
            None if gradient is None else (gradient * scale).to(dtype)
            for gradient, dtype in zip(of_weights, ctx.dtypes, strict=True)
        ]
        return None, None, None, (of_states * scale).to(of_states.dtype), *scaled


def _sum(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    """In float32: many chunks would lose digits in half precision."""
    if gradient is None or total is None:
        return total if gradient is None else gradient.float()
    return total + gradient


def memory_mse(hidden: Tensor, attention_mask: Tensor, is_memory: Tensor) -> Tensor:
    """How far a memory's mean is from its document's mean, averaged over documents.

    Args:
        hidden: The compressor's last hidden states, (B, T, H).
        attention_mask: (B, T), 0 on padding.
        is_memory: (B, T), true at memory tokens.

    Source:
        arXiv 2511.18659, the MSE term of the compressor's pretraining.
    """
    of_document = attention_mask.bool() & ~is_memory
    document, memory = masked_mean(hidden, of_document), masked_mean(hidden, is_memory)  # (B, H)
    return F.mse_loss(memory, document)


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the positions in the mask: (B, T, H) and (B, T) to (B, H), in float32."""
    weights = mask.unsqueeze(-1).to(torch.float32)
    return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)
