"""Passages and questions as the model's own compressed memories, for negatives after stage 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from configs.schema import PipelineConfig
from tasks.progress import progress
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

    from clara_model import Clara
    from clara_model.memory import MemoryStore

STAGE = "stage2"
_BATCH = 64


@dataclass(frozen=True)
class StoredMemories:
    """Flattened memories of texts, of unit length, read from their store as they are needed."""

    store: MemoryStore
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The memories at some positions, (positions, n * H)."""
        return unit_rows(self.store.lookup([self.texts[p] for p in positions.tolist()]))

    def rows(self, start: int, stop: int) -> np.ndarray:
        """The memories of a range."""
        return unit_rows(self.store.lookup(list(self.texts[start:stop])))


def remember(
    config: PipelineConfig, workspace: Workspace, texts: Sequence[str]
) -> tuple[StoredMemories, Callable[[list[str]], np.ndarray]]:
    """Compress texts with stage 2's compressor, and give what brings questions among them.

    The retriever of stage 3 starts as a copy of the compressor, so it is the compressor that reads
    the questions too.

    Raises:
        CheckpointError: If stage 2 is not trained yet.
    """
    from clara_model.memory import build_memory, compressor_hash
    from tasks.indexing.build import load_model

    model = load_model(workspace, STAGE, config.model)
    with progress("compressing passages", len(texts)) as advance:
        done_before = 0

        def on_progress(done: int, _: int) -> None:
            nonlocal done_before
            advance(done - done_before)
            done_before = done

        store = build_memory(
            model,
            texts,
            store_folder(config, workspace),
            batch_size=_BATCH,
            checkpoint_hash=compressor_hash(model),
            on_progress=on_progress,
        )
    return StoredMemories(store, texts), lambda questions: represent(model, questions)


def store_folder(config: PipelineConfig, workspace: Workspace) -> Path:
    """Stage 3's own store where it starts from stage 2: nothing is compressed twice then."""
    is_shared = config.training.stage3.init_from == STAGE
    return workspace.memory / ("store" if is_shared else "negatives")


def represent(model: Clara, questions: list[str]) -> np.ndarray:
    """Questions as the compressor sees them, (questions, n * H), of unit length."""
    return unit_rows(model.compress_documents(questions, batch_size=_BATCH))


def unit_rows(memory: Tensor) -> np.ndarray:
    """Memories (documents, n, H) flattened to float32 rows of unit length."""
    flat = memory.flatten(1).float().cpu().numpy()
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(lengths, np.finfo(np.float32).tiny))
