"""The memory store: every distinct document compressed once, kept on disk, read by its text.

A store is a folder of safetensors shards, each whole or not there, and belongs to one compressor.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clara_model.errors import CheckpointError, ClaraError, DataError
from clara_model.training.micro_batch import free_memory, is_out_of_memory
from clara_model.training.space import Need, memory_size, require_space

if TYPE_CHECKING:
    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)

_META = "store.json"
_DIGEST = "sha256"  # in a shard's own header
_UNREADABLE = (SafetensorError, RuntimeError, OSError, ValueError)
_KEY_BYTES = 32
_SHARD_DOCUMENTS = 2048
_SLICE = 64  # numbers of each weight of the base that stand for it


class MemoryStore:
    """Memories by document text, memory-mapped.

    Args:
        folder: The store's folder.
        checkpoint_hash: The compressor whose memories they are, from `compressor_hash`.
    """

    def __init__(self, folder: Path, checkpoint_hash: str) -> None:
        self.folder = folder
        self.checkpoint_hash = checkpoint_hash
        self._shards: list[Tensor] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for path in _shard_paths(folder):
            self._add(path)

    @classmethod
    def open(cls, folder: Path, checkpoint_hash: str) -> MemoryStore:
        """Open a finished store.

        Raises:
            CheckpointError: If there is none, or it holds another compressor's memories.
        """
        found = read_store_hash(folder)
        if found is None:
            raise CheckpointError(f"{folder} holds no memory store; compress the documents first")
        if found != checkpoint_hash:
            raise CheckpointError(
                f"{folder} holds the memories of compressor {found[:12]}, not of "
                f"{checkpoint_hash[:12]}; compress the documents again"
            )
        return cls(folder, checkpoint_hash)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._places

    def lookup(self, texts: list[str]) -> Tensor:
        """Memories of documents, (documents, n, H), in their order.

        Raises:
            DataError: If one was never compressed; names it.
        """
        return torch.stack([self._memory(text) for text in texts])

    def _memory(self, text: str) -> Tensor:
        place = self._places.get(_key(text))
        if place is None:
            raise DataError(
                f"{self.folder} has no memory of the document {text[:60]!r}; "
                "`clara index --force` adds it, as build_memory does"
            )
        shard, row = place
        return self._shards[shard][row]

    def _add(self, path: Path) -> None:
        try:
            keys, memory, _ = _read_shard(path)
        except _UNREADABLE as err:
            raise CheckpointError(
                f"{path} is damaged ({err}); `clara index --force` compresses its documents again"
            ) from err
        for row, key in enumerate(keys.numpy()):
            self._places[key.tobytes()] = (len(self._shards), row)
        self._shards.append(memory)


def build_memory(
    model: Clara,
    texts: Iterable[str],
    folder: Path,
    *,
    batch_size: int = 32,
    checkpoint_hash: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> MemoryStore:
    """Compress every distinct document that the store does not hold yet.

    A store that was cut off continues; one of another compressor is made anew, and so is what a
    damaged shard held. What a memory is
    compressed together with does not depend on where an earlier run stopped, so neither do its
    last digits.

    Args:
        model: Whose compressor to use.
        texts: Documents; the same one may come many times.
        folder: The store's folder.
        batch_size: Documents per forward pass, halved where they do not fit into memory.
        checkpoint_hash: From `compressor_hash`, which is asked where None.
        on_progress: Called with documents done and documents in all.

    Raises:
        CheckpointError: If the folder holds something else.
        DataError: If a document is empty.
        ClaraError: If the disk has too little room, or not even one document fits into memory.
    """
    expected = checkpoint_hash or compressor_hash(model)
    if read_store_hash(folder) != expected:
        _start_anew(folder, expected)
    _drop_damaged(folder)
    store = MemoryStore(folder, expected)
    distinct = {_key(text): text for text in texts}
    # By length, because a batch is padded to its longest member; by hash, for a fixed order.
    missing = sorted(
        ((key, text) for key, text in distinct.items() if text not in store),
        key=lambda item: (len(item[1]), item[0]),
    )
    need = Need(folder, memory_size(model, len(missing)), "memories")
    require_space([need], remedy="or move the folder to a larger disk")
    total, done = len(distinct), len(distinct) - len(missing)
    shard_size = max(_SHARD_DOCUMENTS // batch_size, 1) * batch_size
    paths = _shard_paths(folder)
    number = int(paths[-1].stem.removeprefix("shard-")) + 1 if paths else 0
    for start in range(0, len(missing), shard_size):
        part = missing[start : start + shard_size]
        memories: list[Tensor] = []
        while (at := sum(map(len, memories))) < len(part):
            batch = [text for _, text in part[at : at + batch_size]]
            compressed, batch_size = _compress(model, batch, batch_size)
            memories.append(compressed)
            done += len(compressed)
            if on_progress is not None:
                on_progress(done, total)
        path = folder / f"shard-{number:05d}.safetensors"
        _write_shard(path, [key for key, _ in part], torch.cat(memories))
        store._add(path)
        number += 1
    return store


def _compress(model: Clara, texts: list[str], size: int) -> tuple[Tensor, int]:
    """Memories of the first of these documents, and how many at a time fit: `size` or less."""
    while True:
        try:
            return model.compress_documents(texts[:size], batch_size=size).cpu(), size
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            if min(size, len(texts)) == 1:
                raise ClaraError(
                    "compressing documents: out of memory with a single one at a time; lower "
                    "model.doc_max_length, or use training.precision=bf16"
                ) from err
        # Only outside the handler is the failed attempt's memory free: its traceback held it.
        free_memory()
        size = min(size, len(texts)) // 2
        log.warning("compressing documents: out of memory; trying %d at a time", size)


def compressor_hash(model: Clara) -> str:
    """Hash of everything that decides a memory: adapter, memory tokens, lengths, base model.

    The base may be large: a few numbers of each of its weights stand for it. Quantized weights are
    left out, because bitsandbytes may store them in another form once they were used.

    Stage 3 leaves all of it as it is, so the store of its starting point stays valid.
    """
    from clara_model.modeling.embedding import input_weight
    from clara_model.modeling.loading import is_quantized

    config = model.config
    digest = hashlib.sha256()
    facts = [config.doc_max_length, config.compr_rate, config.different_mem_tokens, config.lora_r]
    digest.update(json.dumps([*facts, config.adapter_alpha]).encode())
    table = input_weight(model.decoder).detach()
    parts = {"base": table[:64], "memory": model.embedding.weight.detach()}
    parts |= {f"base.{name}": value.flatten()[:_SLICE] for name, value in _base_weights(model)}
    # This and quantization are no part of most models.
    parts |= {f"extra.{name}": value for name, value in model.extra.state().items()}
    if is_quantized(model.decoder):
        digest.update(str(model.decoder.config.quantization_config).encode())
    for name, value in sorted((parts | model.adapters.state("encoder_adapter")).items()):
        flat = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        digest.update(flat.numpy().tobytes())
    return digest.hexdigest()


def _base_weights(model: Clara) -> Iterator[tuple[str, Tensor]]:
    """The decoder's own weights by name, without adapters."""
    adapters = {id(p) for name in model.adapters.names for _, p in model.adapters.parameters(name)}
    for name, parameter in model.decoder.named_parameters():
        if id(parameter) not in adapters and parameter.is_floating_point():
            yield name, parameter.detach()


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _shard_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.safetensors"))


def read_store_hash(folder: Path) -> str | None:
    """Whose memories a folder holds; None where there is no store, or it is damaged."""
    path = folder / _META
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["checkpoint_hash"])
    except (ValueError, KeyError, TypeError):
        log.warning("%s is damaged", path)
        return None


def _start_anew(folder: Path, checkpoint_hash: str) -> None:
    if folder.exists():
        if not (folder / _META).is_file() and any(p.name[0] != "." for p in folder.iterdir()):
            raise CheckpointError(f"{folder} holds something else than memories; choose another")
        log.info("%s: memories that are not this compressor's are made anew", folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    partial = folder / f".{_META}.tmp"
    partial.write_text(json.dumps({"checkpoint_hash": checkpoint_hash}) + "\n", encoding="utf-8")
    os.replace(partial, folder / _META)


def _drop_damaged(folder: Path) -> None:
    """Remove shards that cannot be read, or do not hold what was written."""
    for path in _shard_paths(folder):
        try:
            keys, memory, digest = _read_shard(path)
            if digest in (None, _digest(keys, memory)):
                continue
        except _UNREADABLE as err:
            log.debug("%s: %s", path, err)
        log.warning("%s is damaged; its documents are compressed again", path)
        path.unlink()


def _read_shard(path: Path) -> tuple[Tensor, Tensor, str | None]:
    """Keys, memories, and the digest of both where it was written; memories stay on the disk."""
    # On the CPU safetensors maps the file: a memory's pages are read when it is looked up.
    with safe_open(path, framework="pt", device="cpu") as stored:
        digest = (stored.metadata() or {}).get(_DIGEST)
        return stored.get_tensor("keys"), stored.get_tensor("memory"), digest


def _digest(keys: Tensor, memory: Tensor) -> str:
    digest = hashlib.sha256(keys.numpy().data)
    digest.update(memory.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write_shard(path: Path, keys: list[bytes], memory: Tensor) -> None:
    rows = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(-1, _KEY_BYTES)
    partial = path.with_name(f".{path.name}.tmp")
    memory = memory.contiguous()
    save_file({"keys": rows, "memory": memory}, partial, {_DIGEST: _digest(rows, memory)})
    os.replace(partial, path)
