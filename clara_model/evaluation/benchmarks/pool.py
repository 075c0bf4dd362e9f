"""The passages a benchmark is retrieved from: its own, pooled and deduplicated, or a folder's."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from clara_model.evaluation.benchmarks.files import read_content, records_of
from clara_model.evaluation.benchmarks.sample import Document, Sample
from clara_model.retrieval import Bm25Index

log = logging.getLogger(__name__)

# (questions, passages, n) -> for each question the positions of its n best passages, best first.
Retrieve = Callable[[list[str], Sequence[str], int], list[list[int]]]

_TEXT_FIELDS = ("text", "contents", "content", "passage", "paragraph_text")


@dataclass(frozen=True)
class Pool:
    """Distinct passages.

    Args:
        name: Where they are from, for tables.
        documents: Each once.
        place: Position by the passage's identity.
    """

    name: str
    documents: tuple[Document, ...]
    place: dict[str, int]

    def find(self, document: Document) -> int | None:
        """Position of a passage of the same words, or None."""
        return self.place.get(identity(document))

    @property
    def key(self) -> str:
        """Hash of the passages, in their order."""
        digest = hashlib.sha256()
        for document in self.documents:
            digest.update(document.full.encode() + b"\x00")
        return digest.hexdigest()


def identity(document: Document) -> str:
    """What makes two passages the same: title and words, whatever case, form and spaces.

    An untitled passage whose first line is the title of another is the same as that one.
    """
    text = unicodedata.normalize("NFKC", document.full).casefold()
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def pool_samples(samples: Iterable[Sample], name: str) -> Pool:
    """All passages of a benchmark's questions, each once, in the order of first sight."""
    return _pool(name, (document for sample in samples for document in sample.documents))


def pool_folder(folder: Path) -> Pool:
    """Passages of a corpus folder.

    A line of a .jsonl (or .json, .gz) file is a passage with `text` (or `contents`, `content`)
    and perhaps `title`; a .txt or .md file gives one passage a paragraph.

    Raises:
        DataError: If the folder is missing or holds no passage.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no folder; a corpus is a folder of .jsonl, .txt or .md files")
    pool = _pool(folder.name, _read_folder(folder))
    if not pool.documents:
        raise DataError(f"{folder}: no passage in any .jsonl, .json, .txt or .md file")
    return pool


def bm25(questions: list[str], passages: Sequence[str], n: int) -> list[list[int]]:
    """The n best passages of each question by BM25 over all of them."""
    index = Bm25Index(passages)
    return [[hit.position for hit in index.search(question, n)] for question in questions]


def by_retriever(retriever: Any) -> Retrieve:
    """A retriever of `clara_model.evaluation.systems` (dense, reranked, CLaRa's) over the pool."""

    def retrieve(questions: list[str], passages: Sequence[str], n: int) -> list[list[int]]:
        retriever.prepare(passages)
        rankings = retriever.rank(questions, [passages] * len(questions), n)
        return [list(ranking.order) for ranking in rankings]

    return retrieve


def _pool(name: str, documents: Iterable[Document]) -> Pool:
    kept: list[Document] = []
    place: dict[str, int] = {}
    for document in documents:
        known = identity(document)
        if known not in place:
            place[known] = len(kept)
            kept.append(document)
    return Pool(name, tuple(kept), place)


def _read_folder(folder: Path) -> Iterator[Document]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name.endswith((".jsonl", ".json", ".jsonl.gz", ".json.gz")):
            yield from _read_records(path)
        elif path.suffix in (".txt", ".md"):
            text = path.read_text(encoding="utf-8", errors="replace")
            for paragraph in text.split("\n\n"):
                if paragraph.strip():
                    yield Document("", paragraph.strip())


def _read_records(path: Path) -> Iterator[Document]:
    content, _ = read_content(path)
    without = 0
    for _, record in records_of(content):
        fields = record if isinstance(record, dict) else {}
        text = next((fields[f] for f in _TEXT_FIELDS if isinstance(fields.get(f), str)), "")
        if text.strip():
            yield Document(str(fields.get("title") or "").strip(), text.strip())
        else:
            without += 1
    if without:
        log.warning("%s: %d records without a text were left out", path, without)
