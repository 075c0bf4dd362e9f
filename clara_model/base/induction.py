"""First weights that hold an induction circuit: look back, match, copy.

Finding the words that a question repeats takes heads that look back, that match and that copy.
Started with all three, a decoder finds the value of a name in bare pairs within tens of steps;
what is left to training is to fit the circuit to sentences.

Source: C. Olsson et al., "In-context learning and induction heads" (arXiv 2209.11895), for the
circuit; A. Trockman and J. Z. Kolter, "Mimetic initialization of self-attention layers" (arXiv
2305.09828), for putting structure into first weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention

# How many tokens the heads of the first layer look back; further heads start without a habit.
OFFSETS = (1, 2, 3)
# Attention logit at the offset, above those far from it.
_SHARPNESS = 10.0
# Rotary pairs that turn faster (radians a token) tell positions apart; the slow ones are left to
# tell words apart.
_POSITIONAL, _CONTENT = 0.1, 0.01


@torch.no_grad()
def write_induction_circuit(model: LlamaForCausalLM) -> None:
    """Overwrite first attention weights; the model must have biases on its projections.

    Layer 1's heads match the token in front of them with the token before each key; all layers
    but the first copy what they attend to. MLPs write nothing yet, so that a token's own embedding
    is still what later layers read.
    """
    config = model.config
    frequencies = torch.as_tensor(model.model.rotary_emb.inv_freq).float().cpu()
    size, width = 2 * len(frequencies), config.hidden_size
    for layer in model.model.layers:
        attention = layer.self_attn
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            getattr(attention, name).bias.zero_()
        attention.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    scale = config.initializer_range
    maps = []
    first = model.model.layers[0].self_attn
    for head, offset in enumerate(OFFSETS[: config.num_attention_heads]):
        rows = slice(head * size, (head + 1) * size)
        query, key = _look_back(offset, frequencies)
        first.q_proj.bias[rows], first.k_proj.bias[rows] = query, key
        # What a token is must not drown where it stands.
        first.q_proj.weight[rows] *= 0.1
        first.k_proj.weight[rows] *= 0.1
        read, write = _orthogonal(size, width), _orthogonal(width, size)
        first.v_proj.weight[rows] = read
        first.o_proj.weight[:, rows] = write * scale
        maps.append((read, write))
    _match(model.model.layers[1].self_attn, maps, frequencies)
    for layer in list(model.model.layers)[1:]:
        values = _orthogonal(config.num_attention_heads * size, width)
        layer.self_attn.v_proj.weight.copy_(values * math.sqrt(scale))
        layer.self_attn.o_proj.weight.copy_(values.T * math.sqrt(scale))


def _look_back(offset: int, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Biases of query and key, (head size,), with which attention peaks `offset` tokens back."""
    positional = (frequencies > _POSITIONAL).float()
    size = 2 * len(frequencies)
    amplitude = positional * math.sqrt(_SHARPNESS * math.sqrt(size) / float(positional.sum()))
    angle = -offset * frequencies
    query = torch.cat([amplitude * angle.cos(), amplitude * angle.sin()])
    return query, torch.cat([amplitude, torch.zeros_like(amplitude)])


def _match(
    attention: LlamaAttention, maps: list[tuple[Tensor, Tensor]], frequencies: Tensor
) -> None:
    """Queries read a token's own embedding, keys what the first layer wrote beside a token."""
    size = 2 * len(frequencies)
    slow = (frequencies < _CONTENT).repeat(2).nonzero()[:, 0]
    for head in range(attention.config.num_attention_heads):
        read, write = maps[head % len(maps)]
        rows = slice(head * size, (head + 1) * size)
        place = torch.zeros(size, size)
        place[slow] = _orthogonal(len(slow), size)
        attention.q_proj.weight[rows] = place @ read
        attention.k_proj.weight[rows] = place @ write.T


def _orthogonal(rows: int, columns: int) -> Tensor:
    matrix = torch.empty(rows, columns)
    return torch.nn.init.orthogonal_(matrix)
