"""The weight files of a checkpoint: adapters and embeddings, in either layout."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clara_model.errors import CheckpointError, ConfigError
from clara_model.modeling.adapters import DECODER, ENCODER

Layout = Literal["safetensors", "ml-clara", "auto-model"]
State = dict[str, Tensor]

# File names of adapters and of embeddings.
SAFETENSORS = ("adapters.safetensors", "decoder_first_last_layers.safetensors")
PICKLED = ("adapters.pth", "decoder_first_last_layers.pth")
FILES: dict[str, tuple[str, str]] = {
    "safetensors": SAFETENSORS,
    "ml-clara": PICKLED,
    # With its base and its code beside it.
    "auto-model": SAFETENSORS,
}
EXTRA_FILE = "extra.safetensors"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def read_weights(folder: Path) -> tuple[dict[str, State], State]:
    """Adapters by name, and embeddings, of a checkpoint in either layout.

    Embeddings that a writer put beside an adapter's weights are used where their own file has none.

    Raises:
        CheckpointError: If a file is missing or broken, or an adapter that every stage needs.
    """
    found = [files for files in (SAFETENSORS, PICKLED) if (folder / files[0]).is_file()]
    if not found:
        names = f"{SAFETENSORS[0]} or {PICKLED[0]}"
        raise CheckpointError(f"{folder} has no {names}; point to a whole checkpoint")
    adapter_file, embedding_file = found[0]
    stored = _read_adapters(folder / adapter_file)
    path = folder / embedding_file
    embeddings: State = _read_file(path) if path.is_file() else {}
    adapters: dict[str, State] = {}
    for name, state in stored.items():
        adapters[name] = {key: value for key, value in state.items() if ".lora_" in key}
        carried = {key: value for key, value in state.items() if ".lora_" not in key}
        if unknown := carried.keys() - {EMBEDDING, HEAD}:
            raise CheckpointError(
                f"{folder / adapter_file}: {name} holds {sorted(unknown)[0]}, which is neither a "
                "LoRA weight nor an embedding; leaving it out would change the model"
            )
        _add_carried(embeddings, carried)
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


def read_extra(folder: Path) -> State:
    """Weights of the decoder that were trained beside LoRA; none in most checkpoints.

    Raises:
        CheckpointError: If their file is broken.
    """
    path = folder / EXTRA_FILE
    return _read_file(path) if path.is_file() else {}


def _add_carried(embeddings: State, carried: State) -> None:
    """Fill what the embeddings' own file lacks from the copies beside an adapter."""
    written, copy = embeddings.get(EMBEDDING), carried.get(EMBEDDING)
    if written is not None and copy is not None and not torch.equal(written, copy.to(written)):
        return  # the copies are of an earlier moment, the output embedding's as well
    for key, value in carried.items():
        embeddings.setdefault(key, value)


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
        if odd := [name for name, state in stored.items() if not isinstance(state, dict)]:
            raise CheckpointError(
                f"{path}: {odd[0]} is no adapter; the file must hold {{adapter: {{name: tensor}}}}"
            )
        return stored
    adapters: dict[str, State] = {}
    for name, tensor in stored.items():
        adapter, _, key = name.partition(".")
        adapters.setdefault(adapter, {})[key] = tensor
    return adapters


def write_weights(
    folder: Path,
    layout: Layout,
    adapters: dict[str, State],
    embeddings: State,
    extra: State | None = None,
) -> None:
    """Write the weight files of a layout into a folder.

    Raises:
        ConfigError: If weights were trained beside LoRA, and the layout has no place for them.
    """
    if extra and layout == "ml-clara":
        raise ConfigError(
            f"the layout {layout} has no place for weights trained beside LoRA (model.train_also), "
            f"such as {next(iter(extra))}; use the layout safetensors"
        )
    if extra:
        save_file(extra, folder / EXTRA_FILE)
    adapter_file, embedding_file = FILES[layout]
    if layout == "ml-clara":
        torch.save(adapters, folder / adapter_file)
        torch.save(embeddings, folder / embedding_file)
        return
    flat = {f"{name}.{key}": v for name, state in adapters.items() for key, v in state.items()}
    save_file(flat, folder / adapter_file)
    save_file(embeddings, folder / embedding_file)
