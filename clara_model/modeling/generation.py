"""Greedy decoding from input embeddings, with a key-value cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from clara_model.modeling.embedding import positions


@torch.no_grad()
def generate_greedy(
    decoder: PreTrainedModel,
    embeds: Tensor,
    attention_mask: Tensor,
    *,
    embed: Callable[[Tensor], Tensor],
    logits: Callable[[Tensor], Tensor],
    is_end: Callable[[int], bool],
    max_new_tokens: int,
) -> list[list[int]]:
    """Continue left-padded prompts, always with the likeliest token.

    Args:
        decoder: Whose inner transformer runs, with the adapter that is active.
        embeds: The prompts' input embeddings, (B, T, H).
        attention_mask: (B, T).
        embed: From token ids (B, 1) to input embeddings (B, 1, H).
        logits: From hidden states (B, H) to logits (B, V).
        is_end: Whether a token ends its row.
        max_new_tokens: Upper bound for each row.

    Returns:
        The new tokens of each row, up to and with the one that ended it.
    """
    rows: list[list[int]] = [[] for _ in range(len(embeds))]
    going = [True] * len(rows)
    cache = None
    position_ids = positions(attention_mask)
    for step in range(max_new_tokens):
        output = decoder.base_model(
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        next_ids = logits(output.last_hidden_state[:, -1]).argmax(dim=-1)  # (B,)
        for i, token in enumerate(next_ids.tolist()):
            if going[i]:
                rows[i].append(token)
                going[i] = not is_end(token)
        if not any(going) or step == max_new_tokens - 1:
            break
        embeds = embed(next_ids.unsqueeze(1))
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(len(rows), 1)], dim=1)
        position_ids = position_ids[:, -1:] + 1
    return rows
