"""LoRA adapters on one decoder: adding them, choosing one, reading and writing their weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from clara_model.config import ClaraConfig
from clara_model.errors import CheckpointError, ConfigError

ENCODER = "encoder_adapter"
DECODER = "decoder_adapter"
QUERY_REASONER = "query_reasoner_adapter"


class Adapters:
    """The adapters of a decoder, of which at most one is active at a time.

    PEFT's own `set_adapter` also changes `requires_grad`, which here depends on the training stage
    alone; so the active adapter is chosen layer by layer.

    Args:
        decoder: Carries the adapters on its linear layers, bitsandbytes' quantized ones included.
        config: The model's.

    Raises:
        ConfigError: If a name of `lora_targets` is no linear layer's; lists those there are.
    """

    def __init__(self, decoder: PreTrainedModel, config: ClaraConfig) -> None:
        self._decoder = decoder
        self._config = config
        self._targets = _targets(decoder, config.lora_targets)
        self._layers: list[LoraLayer] = []

    @property
    def names(self) -> list[str]:
        """Adapters present, in the order in which they were added."""
        return list(self._layers[0].lora_A) if self._layers else []

    def add(self, name: str, seed: int) -> None:
        """Add a fresh adapter: A drawn, B zero, so that it changes nothing yet."""
        config = LoraConfig(
            r=self._config.lora_r,
            lora_alpha=self._config.adapter_alpha,
            lora_dropout=self._config.lora_dropout,
            target_modules=self._targets,
            task_type="CAUSAL_LM",
        )
        with seeded(seed), warnings.catch_warnings():
            # More than one adapter is what is wanted here.
            warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
            inject_adapter_in_model(config, self._decoder, adapter_name=name)
        self._layers = [m for m in self._decoder.modules() if isinstance(m, LoraLayer)]
        self.activate(None)

    def reset(self, name: str, seed: int) -> None:
        """Draw an adapter anew."""
        with seeded(seed):
            for layer in self._layers:
                layer.reset_lora_parameters(name, init_lora_weights=True)

    def copy(self, source: str, target: str) -> None:
        """Give one adapter the weights of another."""
        self.load_state(target, self.state(source))

    def parameters(self, name: str) -> Iterator[tuple[str, nn.Parameter]]:
        """The adapter's parameters, named as in the decoder."""
        marker = f".{name}."
        for parameter_name, parameter in self._decoder.named_parameters():
            if marker in parameter_name:
                yield parameter_name, parameter

    def state(self, name: str) -> dict[str, Tensor]:
        """The adapter's weights under their released names, `...q_proj.lora_A.weight`."""
        return {
            _released_name(parameter_name, name): parameter.detach()
            for parameter_name, parameter in self.parameters(name)
        }

    def load_state(self, name: str, state: dict[str, Tensor]) -> None:
        """Overwrite the adapter's weights, all of them.

        Raises:
            CheckpointError: If names or shapes differ from the adapter's.
        """
        own = {_released_name(full, name): parameter for full, parameter in self.parameters(name)}
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())
            raise CheckpointError(
                f"{name}: {len(odd)} weights are missing or unknown, such as {odd[0]}; "
                "the checkpoint belongs to another base model"
            )
        for weight_name, parameter in own.items():
            value = state[weight_name]
            if value.shape != parameter.shape:
                raise CheckpointError(
                    f"{name}: {weight_name} has shape {tuple(value.shape)}, expected "
                    f"{tuple(parameter.shape)}; check lora_r and the base model"
                )
            parameter.data.copy_(value)

    def activate(self, name: str | None) -> None:
        """Make one adapter (or none) act in every layer."""
        active = [] if name is None else [name]
        for layer in self._layers:
            layer._active_adapter = active

    @property
    def active(self) -> str | None:
        """The adapter in use, if any."""
        active = self._layers[0].active_adapters if self._layers else []
        return active[0] if active else None

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Work with one adapter (or none), then return to what was active before.

        Raises:
            CheckpointError: If the model has no such adapter.
        """
        if name is not None and name not in self.names:
            raise CheckpointError(
                f"the model has no {name} (it has {', '.join(self.names) or 'none'}); load a "
                "checkpoint that holds it, or call prepare_stage for the stage that trains it"
            )
        before = self.active
        self.activate(name)
        try:
            yield
        finally:
            self.activate(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed of one's own and leave torch's generators as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _targets(decoder: PreTrainedModel, wanted: list[str] | None) -> list[str]:
    available = _linear_layers(decoder)
    if wanted is None:
        return available
    # A target may also be longer than a last name part, such as `mlp.down_proj`.
    names = [f".{name}" for name, module in decoder.named_modules() if _is_linear(module)]
    unknown = [target for target in wanted if not any(n.endswith(f".{target}") for n in names)]
    if unknown or not wanted:
        raise ConfigError(
            f"lora_targets: no linear layer is named {', '.join(unknown) or 'in an empty list'}; "
            f"{type(decoder).__name__} has {', '.join(available)}"
        )
    return wanted


def _linear_layers(decoder: PreTrainedModel) -> list[str]:
    """Last name parts of all linear layers but the output embedding."""
    head = decoder.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in decoder.named_modules()
            if _is_linear(module) and module is not head
        }
    )


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D)


def _released_name(parameter_name: str, adapter: str) -> str:
    return parameter_name.replace(f".{adapter}.", ".")
