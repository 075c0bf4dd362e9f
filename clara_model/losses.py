"""The two losses: next token on the answer, and memory close to its document."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from clara_model.encoding import IGNORED
from clara_model.errors import DataError


LOSS_CHUNK = 1024


def answer_loss(
    hidden: Tensor,
    labels: Tensor,
    project: Callable[[Tensor], Tensor],
    *,
    chunk: int = LOSS_CHUNK,
) -> Tensor:
    """Mean cross entropy of the labelled tokens; logits are made for these positions only.

    More positions than `chunk` are taken chunk by chunk, and a chunk's logits are made once more in
    the backward pass, so that no more than `chunk` x V numbers are in memory at any time.

    Args:
        hidden: Last hidden states, (B, T, H).
        labels: (B, T); `IGNORED` where there is nothing to learn.
        project: From hidden states (P, H) to logits (P, V).
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
    parts = zip(states.split(chunk), wanted.split(chunk), strict=True)
    # Stopping the second pass early would leave out the hooks with which ZeRO 3 frees weights.
    with set_checkpoint_early_stop(False):
        losses = [
            checkpoint(summed, *part, use_reentrant=False, preserve_rng_state=False)
            for part in parts
        ]
    return torch.stack(losses).sum() / len(wanted)


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
