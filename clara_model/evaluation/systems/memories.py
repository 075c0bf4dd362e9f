"""Memories of documents for systems: each document compressed once, on disk or in main memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from clara_model.evaluation.systems.batching import in_batches
from clara_model.memory import build_memory
from clara_model.modeling.clara import Clara

# Documents a forward pass: they are short, and nothing is generated.
COMPRESS_BATCH = 32


class Lookup(Protocol):
    """Where memories come from: a `MemoryStore`, or `Memories`."""

    def lookup(self, texts: list[str]) -> Tensor:
        """Memories of documents, (documents, n, H), in their order."""
        ...


@dataclass
class Memories:
    """Memories of documents, each compressed once: on disk where there is a folder, else in memory.

    Args:
        model: Whose compressor.
        folder: Of the memory store; None to keep memories in main memory.
        batch_size: Documents at a time, halved where they do not fit.
    """

    model: Clara
    folder: Path | None = None
    batch_size: int = COMPRESS_BATCH
    _held: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _store: Lookup | None = field(default=None, repr=False)
    _stored: set[str] = field(default_factory=set, repr=False)

    def prepare(self, texts: Iterable[str]) -> None:
        """Compress those documents that are not there yet, by length and then by text."""
        known = self._held if self.folder is None else self._stored
        missing = sorted(set(texts) - set(known), key=lambda text: (len(text), text))
        if not missing:
            return
        if self.folder is not None:
            self._store = build_memory(self.model, missing, self.folder, batch_size=self.batch_size)
            self._stored.update(missing)
            return
        rows = in_batches(
            [len(text) for text in missing],
            lambda batch: list(
                self.model.compress_documents([missing[i] for i in batch], len(batch)).cpu()
            ),
            self.batch_size,
            where="compressing documents",
        )
        self._held.update(zip(missing, rows, strict=True))

    def lookup(self, texts: list[str]) -> Tensor:
        """Memories of documents, (documents, n, H), in their order; missing ones are made."""
        self.prepare(texts)
        if self._store is not None:
            return self._store.lookup(texts)
        return torch.stack([self._held[text] for text in texts])
