"""Checkpoints on disk: the released layout (`.pth`) and our own (safetensors), read and written."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from clara_model.config import CONFIG_FILE, ClaraConfig, read_config, write_config
from clara_model.encoding import load_tokenizer, memory_tokens
from clara_model.errors import CheckpointError, ConfigError
from clara_model.modeling.adapters import DECODER, ENCODER, seeded
from clara_model.modeling.embedding import input_weight, output_weight

if TYPE_CHECKING:
    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)

Layout = Literal["safetensors", "ml-clara"]
State = dict[str, Tensor]

# File names of adapters and of embeddings in each layout.
FILES: dict[str, tuple[str, str]] = {
    "safetensors": ("adapters.safetensors", "decoder_first_last_layers.safetensors"),
    "ml-clara": ("adapters.pth", "decoder_first_last_layers.pth"),
}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
NORMAL_STD = 0.02


def build_from_base(
    base_model: str | Path,
    config: ClaraConfig,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Clara:
    """A fresh model around a decoder; what is drawn comes from `config.init_seed`."""
    from clara_model.modeling.clara import Clara

    config = replace(config, decoder_model_name=str(base_model), extra=dict(config.extra))
    decoder, tokenizer = _load_base(str(base_model), config, dtype)
    known = tokenizer.get_vocab()[memory_tokens(config)[0]]
    with seeded(config.init_seed):
        # Some bases pad their vocabulary with rows that were never trained; those would become the
        # new tokens' rows, so they are cut off first.
        if len(input_weight(decoder)) > known:
            decoder.resize_token_embeddings(known)
        decoder.resize_token_embeddings(len(tokenizer))
        if config.memory_init == "normal":
            input_weight(decoder).data[known:].normal_(std=NORMAL_STD)
    model = Clara(decoder, tokenizer, config, base_path=_existing_folder(base_model))
    return model.to(device) if device is not None else model


def load_checkpoint(
    folder: Path,
    base_model: str | Path | None = None,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Clara:
    """Load a checkpoint folder in either layout and check that every weight arrived.

    Args:
        folder: The checkpoint.
        base_model: The decoder's folder or hub id; None to follow the checkpoint's config.
        dtype: None for the base model's own.
        device: None for the CPU.

    Raises:
        CheckpointError: If a file, adapter or embedding is missing, or belongs to another model.
    """
    from clara_model.modeling.clara import Clara

    config = read_config(folder)
    if base_model is not None:
        config = replace(config, decoder_model_name=str(base_model))
    base = _resolve_base(folder, config) if base_model is None else str(base_model)
    adapters, embeddings = read_weights(folder)
    decoder, tokenizer = _load_base(base, config, dtype)
    _load_embeddings(decoder, embeddings, len(tokenizer), folder)
    model = Clara(
        decoder, tokenizer, config, adapters=tuple(adapters), base_path=_existing_folder(base)
    )
    for name, state in adapters.items():
        model.adapters.load_state(name, state)
    _check_loaded(model, adapters, embeddings)
    return model.to(device) if device is not None else model


def save_checkpoint(model: Clara, folder: Path, layout: Layout = "safetensors") -> None:
    """Write a checkpoint folder, whole or not at all.

    Raises:
        CheckpointError: If the folder exists and holds something else than a checkpoint.
        ConfigError: If the layout is unknown.
    """
    if layout not in FILES:
        raise ConfigError(f"layout is {layout!r}; choose one of {', '.join(FILES)}")
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()) and not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(f"{folder} holds something else than a checkpoint; choose another")
    adapters = {name: _cpu(model.adapters.state(name)) for name in model.adapters.names}
    model.embedding.write_back()
    embeddings: State = {EMBEDDING: input_weight(model.decoder)}
    if not model.embedding.is_tied:
        embeddings[HEAD] = output_weight(model.decoder)
    base_name = _base_name(model, folder)
    config = replace(model.config, decoder_model_name=base_name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    partial.mkdir()
    try:
        write_config(config, partial)
        _write_weights(partial, layout, adapters, _cpu(embeddings))
        _swap_in(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_weights(folder: Path) -> tuple[dict[str, State], State]:
    """Adapters by name, and embeddings, of a checkpoint in either layout.

    Embeddings that a writer put beside an adapter's weights are used where their own file has none.

    Raises:
        CheckpointError: If a file is missing or broken, or an adapter that every stage needs.
    """
    found = [files for files in FILES.values() if (folder / files[0]).is_file()]
    if not found:
        names = " or ".join(adapter_file for adapter_file, _ in FILES.values())
        raise CheckpointError(f"{folder} has no {names}; point to a whole checkpoint")
    adapter_file, embedding_file = found[0]
    stored = _read_adapters(folder / adapter_file)
    path = folder / embedding_file
    embeddings: State = _read_file(path) if path.is_file() else {}
    adapters: dict[str, State] = {}
    for name, state in stored.items():
        adapters[name] = {key: value for key, value in state.items() if ".lora_" in key}
        for key in state.keys() - adapters[name].keys():
            embeddings.setdefault(key, state[key])
    for name in (ENCODER, DECODER):
        if name not in adapters:
            raise CheckpointError(
                f"{folder / adapter_file} has no {name} (it has {', '.join(adapters) or 'none'}); "
                "train stage 1 first, or point to a whole checkpoint"
            )
    if EMBEDDING not in embeddings:
        raise CheckpointError(
            f"{folder} has no {EMBEDDING}, which holds the memory tokens; copy {embedding_file} "
            "next to the adapters"
        )
    return adapters, embeddings


def _load_base(
    base: str, config: ClaraConfig, dtype: torch.dtype | str | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        tokenizer = load_tokenizer(base, config)
        decoder = AutoModelForCausalLM.from_pretrained(base, dtype=dtype or "auto")
    except (OSError, ValueError) as err:
        raise CheckpointError(
            f"cannot load the base model {base!r}: {str(err).splitlines()[0]} "
            "Give a folder or hub id as base_model"
        ) from err
    return decoder, tokenizer


def _resolve_base(folder: Path, config: ClaraConfig) -> str:
    """The decoder's folder, seen from the checkpoint's parent, or its hub id."""
    name = config.decoder_model_name
    if not name:
        raise CheckpointError(
            f"{folder / CONFIG_FILE} has no decoder_model_name; give base_model yourself"
        )
    beside = folder.resolve().parent / name
    return str(beside) if beside.is_dir() else name


def _base_name(model: Clara, folder: Path) -> str:
    """How the checkpoint names its decoder: relative where both would move together."""
    if model.base_path is None:
        return model.config.decoder_model_name
    beside = os.path.relpath(model.base_path, folder.parent)
    # A way up through many folders tells that the two do not belong to one workspace.
    return beside if beside.count("..") <= 2 else str(model.base_path)


def _existing_folder(base: str | Path) -> Path | None:
    path = Path(base)
    return path.resolve() if path.is_dir() else None


def _load_embeddings(
    decoder: PreTrainedModel, embeddings: State, num_tokens: int, folder: Path
) -> None:
    rows = embeddings[EMBEDDING].shape[0]
    if rows < num_tokens:
        raise CheckpointError(
            f"{folder}: {EMBEDDING} has {rows} rows but the tokenizer {num_tokens} tokens; check "
            "the base model, doc_max_length, compr_rate and different_mem_tokens"
        )
    decoder.resize_token_embeddings(rows, mean_resizing=False)
    table, head = input_weight(decoder), output_weight(decoder)
    _copy(embeddings[EMBEDDING], table, f"{folder}: {EMBEDDING}")
    if head is table:
        if HEAD in embeddings and not torch.equal(embeddings[HEAD], embeddings[EMBEDDING]):
            raise CheckpointError(
                f"{folder}: {HEAD} differs from {EMBEDDING}, but the base model ties them; "
                "this is another base model's checkpoint"
            )
    elif HEAD in embeddings:
        _copy(embeddings[HEAD], head, f"{folder}: {HEAD}")
    else:
        raise CheckpointError(
            f"{folder} has no {HEAD}, which the base model needs because its embeddings are not "
            "tied; copy the whole checkpoint"
        )


def _copy(value: Tensor, target: Tensor, name: str) -> None:
    if value.shape != target.shape:
        raise CheckpointError(
            f"{name} has shape {tuple(value.shape)}, the base model {tuple(target.shape)}; "
            "this is another base model's checkpoint"
        )
    target.data.copy_(value)


def _check_loaded(model: Clara, adapters: dict[str, State], embeddings: State) -> None:
    """Compare what the model holds with what the files held."""
    expected = {f"{name}.{key}": v for name, state in adapters.items() for key, v in state.items()}
    held = {
        f"{name}.{key}": v for name in adapters for key, v in model.adapters.state(name).items()
    }
    expected["memory tokens"] = embeddings[EMBEDDING][model.embedding.first : model.embedding.end]
    held["memory tokens"] = model.embedding.weight
    for key, value in expected.items():
        if not torch.equal(held[key], value.to(held[key])):
            raise CheckpointError(f"{key} differs from the file after loading; report this")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".pth":
            # Never without `weights_only`: a pickle from elsewhere could run anything.
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        return load_file(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError) as err:
        raise CheckpointError(
            f"{path} cannot be read: it is cut off, or holds something else than tensors; copy it "
            "again from where it was written"
        ) from err


def _read_adapters(path: Path) -> dict[str, State]:
    stored = _read_file(path)
    if path.suffix == ".pth":
        return stored
    adapters: dict[str, State] = {}
    for name, tensor in stored.items():
        adapter, _, key = name.partition(".")
        adapters.setdefault(adapter, {})[key] = tensor
    return adapters


def _write_weights(
    folder: Path, layout: Layout, adapters: dict[str, State], embeddings: State
) -> None:
    adapter_file, embedding_file = FILES[layout]
    if layout == "ml-clara":
        torch.save(adapters, folder / adapter_file)
        torch.save(embeddings, folder / embedding_file)
        return
    flat = {f"{name}.{key}": v for name, state in adapters.items() for key, v in state.items()}
    save_file(flat, folder / adapter_file)
    save_file(embeddings, folder / embedding_file)


def _swap_in(partial: Path, folder: Path) -> None:
    """Put a finished folder in the place of an older one."""
    if not folder.exists():
        partial.replace(folder)
        return
    old = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.old"
    folder.replace(old)
    partial.replace(folder)
    shutil.rmtree(old)


def _cpu(state: State) -> State:
    return {key: value.detach().to("cpu").contiguous().clone() for key, value in state.items()}
