"""The index step: every passage compressed by the final model, and the list of passages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.errors import DataError
from clara_model.rows import read_jsonl
from configs.schema import ModelSettings, PipelineConfig
from tasks.progress import progress
from tasks.storage import StepResult
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from clara_model import Clara
    from clara_model.index import Passage, PassageIndex

_COMPRESS_BATCH = 64


def build_index(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Compress the passages that are not yet compressed and write the index over all of them.

    The store is the one that stage 3 trained from: the compressor is frozen there, so nothing is
    compressed twice. A step that was cut off continues with the next shard.

    Raises:
        CheckpointError: If there is no stage 3 model.
        DataError: If there are no passages, or a row lacks its id or text.
    """
    from clara_model.index import write_index
    from clara_model.memory import build_memory, compressor_hash

    passages = _read_passages(workspace)
    model = load_model(workspace, settings=config.model)
    key = compressor_hash(model)
    with progress("compressing passages", len(passages)) as advance:
        shown = 0

        def on_progress(done: int, total: int) -> None:
            nonlocal shown
            advance(done - shown)
            shown = done

        store = build_memory(
            model,
            (passage.text for passage in passages),
            store_folder(workspace),
            batch_size=_COMPRESS_BATCH,
            checkpoint_hash=key,
            on_progress=on_progress,
        )
    write_index(workspace.memory / "index", passages, key)
    memory = store.lookup([passages[0].text])
    return StepResult(
        {
            "passages": len(passages),
            "sources": len({passage.source for passage in passages}),
            "memory_vectors_per_passage": memory.shape[1],
            "bytes_per_passage": memory.numel() * memory.element_size(),
        }
    )


def open_answering(
    workspace: Workspace, settings: ModelSettings | None = None, *, complete: bool = False
) -> tuple[Clara, PassageIndex]:
    """The final model and its index, ready for `clara_model.answering.answer`.

    Args:
        workspace: Where they are.
        settings: How the base was loaded for training; None for the defaults.
        complete: See `open_passages`.

    Raises:
        CheckpointError: If model or index are missing, or do not belong together.
    """
    model = load_model(workspace, settings=settings)
    index = workspace.memory / "index"
    return model, open_passages(model, index, store_folder(workspace), complete=complete)


def open_passages(
    model: Clara, index: Path, store: Path, *, complete: bool = False
) -> PassageIndex:
    """The index of a model.

    Args:
        model: Who made it.
        index: Its folder.
        store: The folder of the memories.
        complete: Compress first what the store lacks: memories stay on the machine that made them.

    Raises:
        CheckpointError: If the index is missing, or another model's.
    """
    from clara_model.index import list_passages, open_index
    from clara_model.memory import build_memory, compressor_hash, read_store_hash

    key = compressor_hash(model)
    if complete and read_store_hash(store) in (None, key):  # another's may be in use
        texts = [passage.text for passage in list_passages(index, key)]
        build_memory(model, texts, store, batch_size=_COMPRESS_BATCH, checkpoint_hash=key)
    return open_index(index, store, key)


def load_model(
    workspace: Workspace, stage: str = "stage3", settings: ModelSettings | None = None
) -> Clara:
    """A stage's checkpoint over the workspace's base decoder, on the GPU if there is one.

    Args:
        workspace: Where the models are.
        stage: Whose checkpoint.
        settings: How the base was loaded for training; None for the defaults.
    """
    import torch

    from clara_model import Clara

    return Clara.from_pretrained(
        workspace.models / stage,
        base_model=workspace.models / "base",
        device="cuda" if torch.cuda.is_available() else "cpu",
        attention=settings.attention if settings else None,
        trust_remote_code=settings.trust_remote_code if settings else False,
        quantization=settings.quantization if settings else "none",
    )


def store_folder(workspace: Workspace) -> Path:
    """Where the memories of documents lie, those of stage 3's training among them."""
    return workspace.memory / "store"


def _read_passages(workspace: Workspace) -> list[Passage]:
    from clara_model.index import Passage

    passages = []
    for number, row in read_jsonl(workspace.passages):
        if not row.get("id") or not str(row.get("text", "")).strip():
            raise DataError(
                f"{workspace.passages}:{number}: a passage needs `id` and `text`; "
                "run `clara synthesize --force` to write the file again"
            )
        passages.append(
            Passage(
                id=row["id"],
                text=row["text"],
                source=row.get("source") or "",
                page=row.get("page"),
                heading=row.get("heading") or "",
            )
        )
    return passages
