"""First weights that hold an induction circuit: look back, match, copy.

Finding the words that a question repeats takes heads that look back, that match and that copy.
Started with all three, a decoder finds the value of a name in bare pairs within tens of steps.
In sentences a name stands at no fixed distance from its value, so other heads look back over a
window, and are matched with what they saw elsewhere: a value and a question know each other by the
words that stand near both. What is left to training is to attend to those that matter.

A second hop starts where the first ends: what was copied is a word like any other, so the layers
above look for places near which that word stood.

Source: C. Olsson et al., "In-context learning and induction heads" (arXiv 2209.11895), for the
circuit; A. Trockman and J. Z. Kolter, "Mimetic initialization of self-attention layers" (arXiv
2305.09828), for putting structure into first weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention


class Habit(NamedTuple):
    """Where a fresh head of the first layer looks.

    Args:
        offset: Tokens back at which attention peaks.
        band: Rotary pairs that decide it, by their speed in radians a token: fast ones alone peak
            at one token, slower ones at a window.
        sharpness: Attention logit at the peak.
    """

    offset: int
    band: tuple[float, float]
    sharpness: float


# The first token back, the second, the nearest five or so, and the rest of a sentence.
HABITS = (
    Habit(1, (0.1, math.inf), 10.0),
    Habit(2, (0.1, math.inf), 10.0),
    Habit(3, (0.02, 0.4), 8.0),
    Habit(7, (0.015, 0.2), 10.0),
)
_WINDOWS = 2  # of the habits, the last
# A window's words share its attention; so many times more makes them count like a single one.
_WINDOW_SCALE, _WINDOW_MATCH = 3.0, 1.5
# Layers that match once more, for a second hop.
_SECOND_HOP = slice(2, 4)
# Rotary pairs slower than this (radians a token) are left to tell words apart.
_CONTENT = 0.01


@torch.no_grad()
def write_induction_circuit(model: LlamaForCausalLM, hops: int = 1) -> None:
    """Overwrite first attention weights; the model must have biases on its projections.

    With two hops the third layer, and the fourth where there is one, match as well.

    The first layer looks back, the second matches, and all but the first copy what they attend to.
    MLPs write nothing yet, so that a token's own embedding is still what later layers read.
    """
    config = model.config
    frequencies = torch.as_tensor(model.model.rotary_emb.inv_freq).float().cpu()
    for layer in model.model.layers:
        attention = layer.self_attn
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            getattr(attention, name).bias.zero_()
        attention.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    first, *others = (layer.self_attn for layer in model.model.layers)
    maps = _look_back(first, frequencies, config.initializer_range)
    _match(others[0], maps, frequencies)
    copied = config.num_attention_heads * 2 * len(frequencies)
    for attention in others:
        values = _orthogonal(copied, config.hidden_size) * math.sqrt(config.initializer_range)
        attention.v_proj.weight.copy_(values)
        attention.o_proj.weight.copy_(values.T)
    if hops > 1:
        for layer in model.model.layers[_SECOND_HOP]:
            _match(layer.self_attn, maps, frequencies, by_window=False)


def _look_back(
    attention: LlamaAttention, frequencies: Tensor, scale: float
) -> list[tuple[Tensor, Tensor]]:
    """Write the habits; returns of each how it reads a token and where it writes it down.

    All windows read and write alike, so that what one saw can be matched with what another did.
    """
    size, width = 2 * len(frequencies), attention.config.hidden_size
    shared = _orthogonal(size, width), _orthogonal(width, size)
    maps = []
    for head, habit in enumerate(HABITS[: attention.config.num_attention_heads]):
        is_window = head >= len(HABITS) - _WINDOWS
        rows = slice(head * size, (head + 1) * size)
        query, key = _peak(habit, frequencies)
        attention.q_proj.bias[rows], attention.k_proj.bias[rows] = query, key
        # What a token is must not drown where it stands.
        attention.q_proj.weight[rows] *= 0.1
        attention.k_proj.weight[rows] *= 0.1
        own = _orthogonal(size, width), _orthogonal(width, size)
        read, write = shared if is_window else own
        attention.v_proj.weight[rows] = read
        attention.o_proj.weight[:, rows] = write * scale * (_WINDOW_SCALE if is_window else 1.0)
        maps.append((read, write))
    return maps


def _peak(habit: Habit, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Biases of query and key, (head size,), with which attention peaks at the habit's offset."""
    slowest, fastest = habit.band
    chosen = ((frequencies > slowest) & (frequencies < fastest)).float()
    size = 2 * len(frequencies)
    share = habit.sharpness * math.sqrt(size) / max(1.0, float(chosen.sum()))
    amplitude = chosen * math.sqrt(share)
    angle = -habit.offset * frequencies
    query = torch.cat([amplitude * angle.cos(), amplitude * angle.sin()])
    return query, torch.cat([amplitude, torch.zeros_like(amplitude)])


def _match(
    attention: LlamaAttention,
    maps: list[tuple[Tensor, Tensor]],
    frequencies: Tensor,
    *,
    by_window: bool = True,
) -> None:
    """Match what the first layer wrote beside a token: with a token itself, or window with window.

    Only the slow rotary pairs are used, so that it does not matter how far apart the two are.
    A word that was copied has no window of its own: without `by_window` every head asks by words.
    """
    size = 2 * len(frequencies)
    slow = (frequencies < _CONTENT).repeat(2).nonzero()[:, 0]
    for head in range(attention.config.num_attention_heads):
        habit = head % len(maps)
        read, write = maps[habit]
        rows = slice(head * size, (head + 1) * size)
        place = torch.zeros(size, size)
        place[slow] = _orthogonal(len(slow), size)
        key = place @ write.T
        is_window = by_window and habit >= len(HABITS) - _WINDOWS
        attention.q_proj.weight[rows] = key * _WINDOW_MATCH if is_window else place @ read
        attention.k_proj.weight[rows] = key * (_WINDOW_MATCH if is_window else 1.0)


def _orthogonal(rows: int, columns: int) -> Tensor:
    matrix = torch.empty(rows, columns)
    return torch.nn.init.orthogonal_(matrix)
