"""The decoder's input and output embeddings, with the memory tokens' rows as their own parameter.

An optimizer then cannot move any other row, whatever its weight decay or partitioning.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from clara_model.errors import DataError


class MemoryEmbedding(nn.Module):
    """Looks up token ids, and makes logits, where some rows stand apart from the decoder's.

    Args:
        decoder: Whose embedding already has the rows; they are copied from there.
        first: Id of the first memory token.
        count: How many memory tokens there are, with ids one after another.
    """

    def __init__(self, decoder: PreTrainedModel, first: int, count: int) -> None:
        super().__init__()
        self.first, self.end = first, first + count
        rows = input_weight(decoder).detach()[self.first : self.end]
        self.weight = nn.Parameter(rows.clone())
        # In a list, so that the decoder's weights are not counted as this module's.
        self._decoder = [decoder]

    @property
    def is_tied(self) -> bool:
        """Whether the decoder's output embedding is its input embedding."""
        return output_weight(self._decoder[0]) is input_weight(self._decoder[0])

    def is_memory(self, input_ids: Tensor) -> Tensor:
        """Where memory tokens stand, same shape."""
        return (input_ids >= self.first) & (input_ids < self.end)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Input embeddings (..., H) of token ids (...)."""
        table = self._decoder[0].get_input_embeddings()
        own = F.embedding((input_ids - self.first).clamp(0, len(self.weight) - 1), self.weight)
        # Gemma scales what it looks up.
        own = own * torch.as_tensor(getattr(table, "embed_scale", 1.0)).to(own)
        return torch.where(self.is_memory(input_ids).unsqueeze(-1), own, table(input_ids))

    def splice(self, input_ids: Tensor, memory: Tensor) -> Tensor:
        """Input embeddings (B, T, H) with memories in the slots, in order.

        Args:
            input_ids: Prompts, (B, T).
            memory: (documents, n, H), or (B, k, n, H) where every prompt has k slots.

        Raises:
            DataError: If the prompts have more or fewer slots than there are memories.
        """
        is_memory = self.is_memory(input_ids)
        rows = memory.reshape(-1, memory.shape[-1])
        counts = is_memory.sum(dim=1).tolist()
        uneven = memory.ndim == 4 and len(set(counts)) > 1
        if sum(counts) != len(rows) or uneven:
            shown = counts if uneven else sum(counts)
            raise DataError(
                f"the prompts have {shown} memory positions for {len(rows)} memory "
                "vectors; build them with as many slots as documents are given"
            )
        embeds = self(input_ids)
        return embeds.masked_scatter(is_memory.unsqueeze(-1), rows.to(embeds.dtype))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., V) of last hidden states (..., H)."""
        decoder = self._decoder[0]
        logits: Tensor = decoder.get_output_embeddings()(hidden)
        if self.is_tied:
            # The output embedding is the same table, so it has the same rows apart.
            own = F.linear(hidden, self.weight)
            logits = torch.cat([logits[..., : self.first], own, logits[..., self.end :]], dim=-1)
        return _finish_logits(logits, decoder.config.get_text_config())

    def trained_head(self) -> list[nn.Parameter]:
        """Those weights behind `logits` that are trained."""
        own = [self.weight] if self.is_tied else []
        head = self._decoder[0].get_output_embeddings().parameters()
        return [weight for weight in (*own, *head) if weight.requires_grad]

    @torch.no_grad()
    def write_back(self) -> None:
        """Put the rows into the decoder's embedding, for saving."""
        input_weight(self._decoder[0])[self.first : self.end] = self.weight


def input_weight(decoder: PreTrainedModel) -> nn.Parameter:
    """The decoder's embedding table, (V, H)."""
    return cast(nn.Parameter, decoder.get_input_embeddings().weight)


def output_weight(decoder: PreTrainedModel) -> nn.Parameter:
    """The table that makes logits, (V, H); the embedding table itself where both are tied."""
    return cast(nn.Parameter, decoder.get_output_embeddings().weight)


def positions(attention_mask: Tensor) -> Tensor:
    """Positions counted from the first token that is not padding, same shape."""
    return (attention_mask.cumsum(dim=-1) - 1).clamp(min=0)


def _finish_logits(logits: Tensor, config: Any) -> Tensor:
    """What some architectures do after their output embedding."""
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scale
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2 and 3
        logits = (logits / cap).tanh() * cap
    return logits
