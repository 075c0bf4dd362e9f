"""Weights of the decoder itself that stages 1 and 2 train beside LoRA, chosen by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import Tensor, nn
from transformers import PreTrainedModel

from clara_model.errors import CheckpointError, ConfigError

_SHOWN = 5


class ExtraWeights:
    """Which of a decoder's weights belong to the checkpoint although they are no adapter's.

    Compressor and generator share them, so stage 3, whose documents are compressed already, leaves
    them as they are.
    """

    def __init__(self, decoder: PreTrainedModel) -> None:
        self._decoder = decoder
        self.names: list[str] = []

    def add(self, patterns: list[str]) -> None:
        """Choose all weights in whose names one of the regular expressions is found.

        Raises:
            ConfigError: If a pattern is no expression, matches nothing, or matches quantized
                weights.
        """
        available = dict(self._available())
        for pattern in patterns:
            try:
                chosen = [name for name in available if re.search(pattern, name)]
            except re.error as err:
                raise ConfigError(
                    f"train_also: {pattern!r} is no regular expression: {err}"
                ) from err
            if not chosen:
                raise ConfigError(
                    f"train_also: {pattern!r} matches no weight of the decoder; they are named "
                    f"like {', '.join(_samples(list(available)))}"
                )
            for name in chosen:
                if not available[name].is_floating_point():
                    raise ConfigError(
                        f"train_also: {name} is quantized and cannot be trained; set quantization "
                        "to none, or leave it to LoRA"
                    )
            self.names = sorted({*self.names, *chosen})

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The chosen weights, under the names that the bare decoder gives them."""
        chosen = set(self.names)
        for name, parameter in self._available():
            if name in chosen:
                yield name, parameter

    def state(self) -> dict[str, Tensor]:
        """The same, detached."""
        return {name: parameter.detach() for name, parameter in self.parameters()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Choose and overwrite weights.

        Raises:
            CheckpointError: If the decoder has no such weight, or one of another shape.
        """
        available = dict(self._available())
        for name, value in state.items():
            own = available.get(name)
            if own is None or own.shape != value.shape:
                found = "none of that name" if own is None else f"one of {tuple(own.shape)}"
                raise CheckpointError(
                    f"the checkpoint holds {name} of shape {tuple(value.shape)}, the base model "
                    f"{found}; it belongs to another base model"
                )
            own.data.copy_(value)
        self.names = sorted({*self.names, *state})

    def _available(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, parameter in self._decoder.named_parameters():
            if ".lora_" not in name:
                # LoRA puts the layer that it adapts one level down.
                yield name.replace(".base_layer.", "."), parameter


def _samples(names: list[str]) -> list[str]:
    """A few names that end differently."""
    by_end = {name.split(".", 3)[-1]: name for name in reversed(names)}
    return sorted(by_end.values())[:_SHOWN]
