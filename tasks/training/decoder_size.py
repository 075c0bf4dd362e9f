"""How large a base decoder is, counted without its weights."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.schema import ModelSettings
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

log = logging.getLogger(__name__)

_PHI4_MINI = {"hidden_size": 3072, "num_hidden_layers": 32, "intermediate_size": 8192,
              "num_attention_heads": 24, "num_key_value_heads": 8, "vocab_size": 200064,
              "tie_word_embeddings": True}  # fmt: skip
_QWEN3_4B = {"hidden_size": 2560, "num_hidden_layers": 36, "intermediate_size": 9728,
             "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
             "vocab_size": 151936, "tie_word_embeddings": True}  # fmt: skip
_MISTRAL_7B = {"hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336,
               "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000,
               "tie_word_embeddings": False}  # fmt: skip

# Architecture and shape of the bases that configs/ names, as their config.json has them: a plan
# needs no network.
KNOWN_SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "microsoft/Phi-4-mini-instruct": ("phi3", _PHI4_MINI),
    "mistralai/Mistral-7B-Instruct-v0.2": ("mistral", _MISTRAL_7B),
    "Qwen/Qwen3-4B": ("qwen3", _QWEN3_4B),
    "Qwen/Qwen3-4B-Instruct-2507": ("qwen3", _QWEN3_4B),
}


@dataclass(frozen=True)
class DecoderSize:
    """Numbers (not bytes) of a decoder's weights, and its dimensions.

    Args:
        source: Where the shape is known from.
        parameters: All weights; tied embeddings counted once.
        matrices: Weights of linear layers but the output embedding: what a token is multiplied by.
        adapter: Weights of one LoRA adapter.
        also: Weights that `model.train_also` names.
        layers: Transformer blocks.
        hidden: Width of the residual stream.
        inner: Width of the feed-forward part.
        queries: Width of all attention heads' queries together.
        keys: Width of all keys, or values, together.
        vocabulary: Rows of the embedding.
        tied: Whether input and output embedding are one.
    """

    source: str
    parameters: int
    matrices: int
    adapter: int
    also: int
    layers: int
    hidden: int
    inner: int
    queries: int
    keys: int
    vocabulary: int
    tied: bool


def measure_decoder(settings: ModelSettings, workspace: Workspace) -> DecoderSize | None:
    """The size of `model.base`; None where its shape is not known on this machine.

    A shape comes from the settings (`built-in`), a folder's config.json, the hub's local cache, or
    a small table. No weight is read or made.
    """
    found = _find_config(settings, workspace)
    if found is None:
        return None
    config, source = found
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            decoder = AutoModelForCausalLM.from_config(
                config, trust_remote_code=settings.trust_remote_code
            )
    except (ValueError, OSError, ImportError) as err:
        log.warning("the size of %s cannot be counted: %s", settings.base, err)
        return None
    return _count(decoder, settings, source)


def _find_config(
    settings: ModelSettings, workspace: Workspace
) -> tuple[PreTrainedConfig, str] | None:
    from transformers import AutoConfig

    if settings.base == "built-in":
        return _built_in_config(settings, workspace), "model.built_in"
    try:
        config = AutoConfig.from_pretrained(
            settings.base, local_files_only=True, trust_remote_code=settings.trust_remote_code
        )
        return config, "its config.json"
    except (OSError, ValueError):
        if settings.base not in KNOWN_SHAPES:
            return None
    kind, shape = KNOWN_SHAPES[settings.base]
    return AutoConfig.for_model(kind, **shape), "a table of known shapes"


def _built_in_config(settings: ModelSettings, workspace: Workspace) -> PreTrainedConfig:
    from transformers import LlamaConfig

    built_in = settings.built_in
    vocabulary = built_in.vocab_size
    path = workspace.models / "tokenizer" / "tokenizer.json"
    if path.is_file():
        from tokenizers import Tokenizer

        vocabulary = Tokenizer.from_file(str(path)).get_vocab_size()
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=built_in.hidden_size,
        intermediate_size=built_in.ffn,
        num_hidden_layers=built_in.layers,
        num_attention_heads=built_in.heads,
        num_key_value_heads=built_in.heads,
        tie_word_embeddings=True,
    )


def _count(decoder: PreTrainedModel, settings: ModelSettings, source: str) -> DecoderSize:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = decoder.get_output_embeddings()
    matrices = adapter = 0
    for name, module in decoder.named_modules():
        if not isinstance(module, nn.Linear | Conv1D) or module is head:
            continue
        rows, columns = module.weight.shape
        matrices += rows * columns
        if settings.lora_targets is None or name.rpartition(".")[2] in settings.lora_targets:
            adapter += settings.lora_r * (rows + columns)
    named = {name: parameter.numel() for name, parameter in decoder.named_parameters()}
    patterns = [re.compile(pattern) for pattern in settings.train_also]
    config = decoder.config.get_text_config()
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return DecoderSize(
        source=source,
        parameters=sum(named.values()),
        matrices=matrices,
        adapter=adapter,
        also=sum(n for name, n in named.items() if any(p.search(name) for p in patterns)),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        queries=heads * head_size,
        keys=(getattr(config, "num_key_value_heads", None) or heads) * head_size,
        vocabulary=config.vocab_size,
        tied=bool(config.tie_word_embeddings),
    )


def describe_base(settings: ModelSettings) -> str:
    """The base as a plan names it."""
    folder = Path(settings.base)
    return folder.name if folder.is_dir() else settings.base
