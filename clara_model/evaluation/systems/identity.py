"""Which weights a system has: a hash of a folder's files, or the hub's revision."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from clara_model.errors import CheckpointError

_WEIGHTS = ("*.json", "*.safetensors", "*.pth", "*.bin", "*.jinja", "*.model", "*.txt", "*.py")


def model_identity(model_id: str) -> str:
    """What stands for a model in a cache key; nothing is loaded.

    Args:
        model_id: A folder, whose files are hashed, or a hub id, whose commit is looked up in the
            local cache (the id alone where it was never fetched).

    Raises:
        CheckpointError: If a folder holds no weights.
    """
    folder = Path(model_id)
    if not folder.is_dir():
        return f"{model_id}@{_cached_commit(model_id)}"
    # Weights may lie one level down, as sentence-transformers writes some of its parts.
    files = sorted(
        {p for pattern in _WEIGHTS for place in (folder, *_subfolders(folder))
         for p in place.glob(pattern) if p.is_file()}
    )  # fmt: skip
    if not files:
        raise CheckpointError(f"{folder}: no model there; give a checkpoint's folder or a hub id")
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        content = _hash_file(path, stat.st_size, stat.st_mtime_ns)
        digest.update(f"{path.relative_to(folder)}:{content}\n".encode())
    return digest.hexdigest()[:32]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


@lru_cache(maxsize=4096)
def _hash_file(path: Path, size: int, changed_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _cached_commit(model_id: str) -> str:
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE) / f"models--{model_id.replace('/', '--')}"
    ref = place / "refs" / "main"
    return ref.read_text(encoding="utf-8").strip() if ref.is_file() else "main"
