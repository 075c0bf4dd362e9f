"""The documents of an inspection: files and folders that were named, or a workspace's passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import DataError
from clara_model.retrieval import Bm25Index
from clara_model.rows import read_jsonl
from tasks.passages.blocks import read_units
from tasks.passages.pack import Packed, pack
from tasks.storage import read_records
from tasks.workspace import Workspace

TEXT_FILES = (".md", ".txt")
ROW_FILES = (".jsonl",)


@dataclass(frozen=True)
class Document:
    """A text to look at, and where it is from."""

    text: str
    source: str


def read_documents(
    paths: Sequence[Path], limit: int, count_tokens: Callable[[str], int]
) -> list[Document]:
    """Texts of files and folders: text cut into passages, rows (JSONL) as they are.

    Args:
        paths: Files, and folders that are walked for files of the known kinds.
        limit: Most tokens of a passage.
        count_tokens: Tokens of a text.

    Raises:
        DataError: If a file is not there, is of another kind, or nothing holds any text.
    """
    documents: list[Document] = []
    for path in paths:
        for file in _files(path):
            texts = (
                _row_texts(file)
                if file.suffix.lower() in ROW_FILES
                else _passages(file, limit, count_tokens)
            )
            documents += [Document(text, file.name) for text in texts]
    if not documents:
        raise DataError(f"{', '.join(map(str, paths))}: no text found in there")
    # A text that comes twice is one candidate, at its first place.
    first: dict[str, Document] = {}
    for document in documents:
        first.setdefault(document.text, document)
    return list(first.values())


def nearest_passages(workspace: Workspace, question: str, number: int) -> list[Document]:
    """The passages of a workspace that are worded most like the question (BM25).

    Raises:
        DataError: If the workspace holds no passages.
    """
    if not workspace.passages.is_file():
        raise DataError(
            f"{workspace.passages}: no passages there; run `clara synthesize`, or name documents "
            "with --documents"
        )
    rows = read_records(workspace.passages)
    by_text = {row["text"]: Document(row["text"], row.get("source") or "") for row in rows}
    passages = list(by_text.values())
    hits = Bm25Index(list(by_text)).search(question, number)
    return [passages[hit.position] for hit in hits]


def _files(path: Path) -> list[Path]:
    known = (*TEXT_FILES, *ROW_FILES)
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in known)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    if path.suffix.lower() not in known:
        raise DataError(
            f"{path}: only {', '.join(known)} can be looked at directly; run `clara extract` and "
            "`clara synthesize` on it, and leave --documents out"
        )
    return [path]


def _passages(file: Path, limit: int, count_tokens: Callable[[str], int]) -> list[str]:
    units = read_units(file.read_text(encoding="utf-8"))
    return [piece.text for piece in pack(units, limit, count_tokens) if isinstance(piece, Packed)]


def _row_texts(file: Path) -> list[str]:
    """`text` of passages, or `docs` of training and benchmark rows."""
    texts: list[str] = []
    for number, row in read_jsonl(file):
        found = [row["text"]] if "text" in row else row.get("docs")
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise DataError(f"{file}:{number}: a row needs `text` or a list `docs` of texts")
        texts += [text for text in found if text.strip()]
    return texts
