"""The base decoder from a folder or the hub: its attention, its precision, its own code."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from clara_model.config import ClaraConfig
from clara_model.encoding import load_tokenizer
from clara_model.errors import CheckpointError, ConfigError

log = logging.getLogger(__name__)

Attention = Literal["auto", "flash_attention_2", "sdpa", "eager"]
Quantization = Literal["none", "8bit", "4bit"]
FLASH = "flash_attention_2"
_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class BaseOptions:
    """How a base decoder is loaded.

    Args:
        dtype: None for the base model's own.
        device: None for the CPU.
        attention: "auto" for FlashAttention 2 where it runs, else PyTorch's SDPA.
        trust_remote_code: Whether code that comes with the base may run.
        quantization: Precision of the frozen linear layers, through bitsandbytes (QLoRA).
    """

    dtype: torch.dtype | str | None = None
    device: torch.device | str | None = None
    attention: Attention = "auto"
    trust_remote_code: bool = False
    quantization: Quantization = "none"


def load_base(
    base: str, config: ClaraConfig, options: BaseOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A decoder, on its device where it is quantized, and its tokenizer with CLaRa's tokens.

    Raises:
        CheckpointError: If the base cannot be loaded.
        ConfigError: If an option cannot be had here; says what is missing.
    """
    trust = options.trust_remote_code
    try:
        tokenizer = load_tokenizer(base, config, trust_remote_code=trust)
        base_config = AutoConfig.from_pretrained(base, trust_remote_code=trust)
    except (OSError, ValueError) as err:
        raise _unloadable(base, err) from err
    dtype = _as_dtype(options.dtype) or base_config.dtype or torch.float32
    attention = choose_attention(options, dtype, base_config)
    arguments: dict[str, Any] = {
        "dtype": options.dtype or "auto",
        "trust_remote_code": trust,
    }
    if attention is not None:
        arguments["attn_implementation"] = attention
    if options.quantization != "none":
        arguments |= _quantized(options, dtype)
    try:
        decoder = AutoModelForCausalLM.from_pretrained(base, **arguments)
    except (OSError, ValueError) as err:
        raise _unloadable(base, err) from err
    log.info("attention: %s", decoder.config._attn_implementation)
    return decoder, tokenizer


def choose_attention(
    options: BaseOptions, dtype: torch.dtype, base_config: PreTrainedConfig
) -> str | None:
    """The attention to ask transformers for; None leaves it SDPA, or what the base has.

    Raises:
        ConfigError: If FlashAttention 2 is asked for and cannot run; says why.
    """
    if options.attention not in ("auto", FLASH):
        return options.attention
    obstacle = _flash_obstacle(options.device, dtype)
    if options.attention == FLASH:
        if obstacle:
            raise ConfigError(f"attention is {FLASH}, but {obstacle}; use auto or sdpa")
        return FLASH
    return FLASH if obstacle is None and _knows_flash(base_config) else None


def is_quantized(decoder: PreTrainedModel) -> bool:
    """Whether some of the decoder's weights are in 8 or 4 bits."""
    return bool(getattr(decoder, "is_quantized", False))


def _flash_obstacle(device: torch.device | str | None, dtype: torch.dtype) -> str | None:
    """Why FlashAttention 2 cannot run, if so."""
    if torch.device(device or "cpu").type != "cuda":
        return "the model is not on a CUDA GPU"
    if dtype not in _HALF:
        return f"it computes in half precision only, and the weights are {dtype}"
    if importlib.util.find_spec("flash_attn") is None:
        return "the package flash_attn is not installed (pip install flash-attn)"
    return None


def _knows_flash(base_config: PreTrainedConfig) -> bool:
    # A base that brings its own code is not known before its code is loaded: it keeps its own.
    try:
        model_class = AutoModelForCausalLM._model_mapping[type(base_config)]
    except KeyError:
        return False
    return bool(getattr(model_class, "_supports_flash_attn", False))


def _quantized(options: BaseOptions, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments that load linear layers in 8 or 4 bits."""
    device = torch.device(options.device or "cpu")
    name = f"quantization is {options.quantization}"
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"{name}, which needs bitsandbytes; pip install 'clara-pipeline[quantization]', or "
            "set quantization to none"
        )
    if device.type != "cuda":
        raise ConfigError(
            f"{name}, which needs a CUDA GPU, and the model is on {device.type}; set quantization "
            "to none"
        )
    if options.quantization == "8bit":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        # QLoRA's: arXiv 2305.14314, section 3.
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return {"quantization_config": quantization, "device_map": {"": device}, "dtype": dtype}


def _as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    if dtype is None or dtype == "auto":
        return None
    return cast(torch.dtype, getattr(torch, dtype)) if isinstance(dtype, str) else dtype


def _unloadable(base: str, err: Exception) -> CheckpointError:
    return CheckpointError(
        f"cannot load the base model {base!r}: {str(err).splitlines()[0]} "
        "Give a folder or hub id as base_model"
    )
