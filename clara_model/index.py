"""The index: passages with their memories, searched exactly by cosine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from clara_model.errors import CheckpointError, DataError
from clara_model.memory import MemoryStore
from clara_model.modeling.retrieval import cosine_scores
from clara_model.rows import dump_line, read_jsonl

_PASSAGES = "passages.jsonl"
_META = "index.json"
# Memories compared at a time: they are read from disk as the search walks over them.
_BLOCK = 4096


@dataclass(frozen=True)
class Passage:
    """A passage and where it stands.

    Args:
        id: Its id in passages.jsonl.
        text: What was compressed.
        source: Name of the document.
        page: Page in the document, where there are pages.
        heading: Heading above it, if any.
    """

    id: str
    text: str
    source: str = ""
    page: int | None = None
    heading: str = ""


@dataclass(frozen=True)
class Found:
    """A passage and its cosine with the question."""

    passage: Passage
    score: float


class PassageIndex:
    """Passages over a memory store.

    Args:
        passages: In the order in which equal scores are returned.
        store: Holds the memory of each.
    """

    def __init__(self, passages: Sequence[Passage], store: MemoryStore) -> None:
        self.passages = list(passages)
        self.store = store

    def __len__(self) -> int:
        return len(self.passages)

    def search(self, queries: Tensor, top_n: int) -> list[list[Found]]:
        """The best passages for each question, best first.

        Args:
            queries: (questions, n * H), from `Clara.represent_queries`.
            top_n: At most so many a question.
        """
        scores = torch.cat(
            [
                cosine_scores(queries, self._memories(start, queries))
                for start in range(0, len(self), _BLOCK)
            ],
            dim=1,
        )  # (questions, passages)
        # A stable sort, so that equal scores keep the passages' order on every machine.
        best, places = scores.sort(dim=1, descending=True, stable=True)
        return [
            [Found(self.passages[p], s) for p, s in zip(row, values, strict=True)]
            for row, values in zip(
                places[:, :top_n].tolist(), best[:, :top_n].tolist(), strict=True
            )
        ]

    def _memories(self, start: int, queries: Tensor) -> Tensor:
        texts = [passage.text for passage in self.passages[start : start + _BLOCK]]
        flat = self.store.lookup(texts).flatten(1).to(queries.device)  # (block, n * H)
        return flat.unsqueeze(0).expand(len(queries), -1, -1)


def write_index(folder: Path, passages: Iterable[Passage], checkpoint_hash: str) -> int:
    """Write the index of passages whose memories are in a store; returns how many.

    Raises:
        DataError: If there is no passage.
    """
    rows = [asdict(passage) for passage in passages]
    if not rows:
        raise DataError("there is no passage to index; run `clara synthesize` on some documents")
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / _PASSAGES, "".join(dump_line(row) for row in rows))
    # Last: an index without it is not finished.
    _replace(folder / _META, json.dumps({"checkpoint_hash": checkpoint_hash}) + "\n")
    return len(rows)


def open_index(folder: Path, store_folder: Path, checkpoint_hash: str) -> PassageIndex:
    """Open an index and its memories for the model that made them.

    Args:
        folder: The index's folder.
        store_folder: The memory store's folder.
        checkpoint_hash: The model's, from `clara_model.memory.compressor_hash`.

    Raises:
        CheckpointError: If there is no index, or it belongs to another model.
        DataError: If a row of it is damaged.
    """
    passages = list_passages(folder, checkpoint_hash)
    return PassageIndex(passages, MemoryStore.open(store_folder, checkpoint_hash))


def list_passages(folder: Path, checkpoint_hash: str) -> list[Passage]:
    """The passages of an index.

    Raises:
        CheckpointError: If there is no index, or it belongs to another model.
        DataError: If a row of it is damaged.
    """
    meta = folder / _META
    if not meta.is_file():
        raise CheckpointError(f"{folder}: no index there; run `clara index` first")
    if json.loads(meta.read_text(encoding="utf-8"))["checkpoint_hash"] != checkpoint_hash:
        raise CheckpointError(f"{folder} was made with another model; run `clara index` again")
    return [Passage(**row) for _, row in read_jsonl(folder / _PASSAGES)]


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
