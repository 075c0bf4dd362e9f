"""Checkpoints on disk: the released layout (`.pth`) and our own (safetensors), read and written."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from clara_model.config import CONFIG_FILE, ClaraConfig, read_config, write_config
from clara_model.encoding import memory_tokens
from clara_model.errors import CheckpointError, ConfigError
from clara_model.modeling.adapters import QUERY_REASONER, seeded
from clara_model.modeling.embedding import input_weight, output_weight
from clara_model.modeling.loading import BaseOptions, load_base
from clara_model.remote.folder import make_self_contained
from clara_model.weights import (
    EMBEDDING,
    FILES,
    HEAD,
    Layout,
    State,
    read_extra,
    read_weights,
    write_weights,
)

if TYPE_CHECKING:
    from clara_model.modeling.clara import Clara

NORMAL_STD = 0.02
DEFAULT_OPTIONS = BaseOptions()


def build_from_base(
    base_model: str | Path,
    config: ClaraConfig,
    options: BaseOptions = DEFAULT_OPTIONS,
) -> Clara:
    """A fresh model around a decoder; what is drawn comes from `config.init_seed`."""
    from clara_model.modeling.clara import Clara

    config = replace(config, decoder_model_name=str(base_model), extra=dict(config.extra))
    decoder, tokenizer = load_base(str(base_model), config, options)
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
    model.prepare_stage(config.stage)
    return _place(model, options)


def load_checkpoint(
    folder: Path,
    base_model: str | Path | None = None,
    options: BaseOptions = DEFAULT_OPTIONS,
) -> Clara:
    """Load a checkpoint folder in either layout and check that every weight arrived.

    Args:
        folder: The checkpoint.
        base_model: The decoder's folder or hub id; None to follow the checkpoint's config.
        options: How the decoder is loaded.

    Raises:
        CheckpointError: If a file, adapter or embedding is missing, or belongs to another model.
    """
    from clara_model.modeling.clara import Clara

    config = read_config(folder)
    if base_model is not None:
        config = replace(config, decoder_model_name=str(base_model))
    base = resolve_base(folder, config) if base_model is None else str(base_model)
    adapters, embeddings = read_weights(folder)
    if config.stage == "stage3" and QUERY_REASONER not in adapters:
        raise CheckpointError(
            f"{folder} is of stage 3 but has no {QUERY_REASONER} (it has {', '.join(adapters)}); "
            "point to a whole checkpoint, or to the one of stage 2 to train stage 3 anew"
        )
    decoder, tokenizer = load_base(base, config, options)
    _load_embeddings(decoder, embeddings, len(tokenizer), folder)
    model = Clara(
        decoder, tokenizer, config, adapters=tuple(adapters), base_path=_existing_folder(base)
    )
    for name, state in adapters.items():
        model.adapters.load_state(name, state)
    _check_loaded(model, adapters, embeddings)
    if extra := read_extra(folder):
        model.extra.load_state(extra)
        model.prepare_stage(config.stage)
    return _place(model, options)


def save_checkpoint(model: Clara, folder: Path, layout: Layout = "safetensors") -> None:
    """Write a checkpoint folder, whole or not at all.

    Raises:
        CheckpointError: If the folder exists and holds something else than a checkpoint.
        ConfigError: If the layout is unknown, or has no place for weights that were trained.
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
    config = replace(model.config, decoder_model_name=_base_name(model, folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    partial.mkdir()
    try:
        if layout == "auto-model":
            config = make_self_contained(partial, config, model.base_path)
        write_config(config, partial)
        write_weights(partial, layout, adapters, _cpu(embeddings), _cpu(model.extra.state()))
        _swap_in(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _place(model: Clara, options: BaseOptions) -> Clara:
    # Quantized weights were loaded onto their device, and cannot be moved.
    if options.device is None or options.quantization != "none":
        return model
    return model.to(options.device)


def resolve_base(folder: Path, config: ClaraConfig) -> str:
    """The decoder's folder, in the checkpoint's own or beside it, or its hub id."""
    name = config.decoder_model_name
    if not name:
        raise CheckpointError(
            f"{folder / CONFIG_FILE} has no decoder_model_name; give base_model yourself"
        )
    places = (folder.resolve() / name, folder.resolve().parent / name)
    return next((str(place) for place in places if place.is_dir()), name)


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
