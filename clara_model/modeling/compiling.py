"""torch.compile for a decoder's layers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from clara_model.errors import ConfigError

# A graph for each adapter, with and without gradients, for one and for many rows.
_MOST_GRAPHS = 64


def compile_layers(decoder: PreTrainedModel) -> None:
    """Compile each layer for any batch and length; layers of one kind share their graphs.

    Layers rather than the whole: what lies between them (masks, gradient checkpointing) stays
    plain, and compiling takes the time of one layer. The active adapter is part of what a graph
    depends on, so each adapter has its own, made once.

    Raises:
        ConfigError: If the decoder does not say what its layers are.
    """
    kinds = set(decoder._no_split_modules or ())
    layers = [module for module in decoder.modules() if type(module).__name__ in kinds]
    if not layers:
        raise ConfigError(
            f"compile: {type(decoder).__name__} does not name its layers; set training.compile to "
            "false"
        )
    dynamo = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, _MOST_GRAPHS)
    for layer in layers:
        _compile(layer)


def _compile(layer: Any) -> None:
    # transformers wraps gradient checkpointing around a layer's forward. Inside a graph it could
    # not bring back the adapter of the first pass, so it is put around the graph instead.
    inner = inspect.unwrap(type(layer).forward)
    compiled = torch.compile(inner.__get__(layer), dynamic=True)

    def forward(*args: Any, **kwargs: Any) -> Any:
        if layer.training and getattr(layer, "gradient_checkpointing", False):
            return layer._gradient_checkpointing_func(partial(compiled, **kwargs), *args)
        return compiled(*args, **kwargs)

    layer.forward = forward


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run layers as they are written: generation with its cache would need ever more graphs."""
    with torch.compiler.set_stance("force_eager"):
        yield
