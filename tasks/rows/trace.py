"""From a row back to where it came from: passages, pages, pictures, model, request and reply."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from tasks.rows.leaks import passage_ids
from tasks.storage import Record
from tasks.workspace import Workspace

ROW_FILES = (
    "pretrain_data.jsonl", "instruction_data.jsonl", "end_to_end_data.jsonl",
    "end_to_end_memory.jsonl", "benchmark/oracle.jsonl", "benchmark/normal.jsonl",
    "benchmark/unanswerable.jsonl",
    "world/pretrain_data.jsonl", "world/instruction_data.jsonl", "world/end_to_end_data.jsonl",
    "world/benchmark/oracle.jsonl", "world/benchmark/normal.jsonl",
)  # fmt: skip

_NEAREST = 5
_MADE_BY = ("kind", "provider", "model", "models", "prompt_version", "answered_by", "teacher")
_PAIRS = ("simple", "complex", "joint", "cross_lingual", "unanswerable")


def trace_row(workspace: Workspace, row_id: str) -> Record:
    """Everything that is known of how a row came to be.

    Args:
        workspace: Where its file lies.
        row_id: The row's `id`, or a beginning of it that no other row shares.

    Returns:
        `row` (without its documents), `file` and `line`; `made_by`; `also_in` (the same row in
        other files); `passages`, the ones it is about, each with place, document and pictures;
        `requests`, each with purpose, model and reply as the cache has them; `notes`, what could
        not be found and why.

    Raises:
        DataError: If no row has this id; names the nearest ones.
    """
    found = _find_rows(workspace, row_id)
    name, number, row = found[0]
    notes: list[str] = []
    ids = passage_ids(row)
    if row.get("origin") == "world":
        notes.append("made by the generated world's rules: no document, model or request")
    elif not ids:
        notes.append("the row names no passage (passage_id, passage_ids)")
    passages = _by_key(workspace.passages, "id", ids, notes)
    syntheses = _by_key(workspace.synthesis, "passage_id", ids, notes)
    sources = [passage["source"] for passage in passages.values()]
    documents = _by_key(workspace.raw_knowledge, "file_path", sources, notes)
    return {
        "row": {key: value for key, value in row.items() if key not in ("docs", "doc_ids")},
        "file": name,
        "line": number,
        "also_in": [f"{other}:{line}" for other, line, _ in found[1:]],
        "made_by": _made_by(row, syntheses),
        "passages": [
            _passage(passage, documents.get(passage["source"], {}), workspace, row)
            for passage in passages.values()
        ],
        "requests": [
            _request(workspace, key, notes) for key in _request_ids(row, syntheses.values())
        ],
        "notes": notes,
    }


def _find_rows(workspace: Workspace, row_id: str) -> list[tuple[str, int, Record]]:
    """All rows of this id, or of the only id that begins so."""
    if not row_id.strip():
        raise DataError("an empty id names no row")
    found = [
        (name, number, row)
        for name, number, line in _lines(workspace)
        if row_id.encode() in line and str((row := _read(line)).get("id", "")).startswith(row_id)
    ]
    exact = [item for item in found if item[2]["id"] == row_id]
    ids = {row["id"] for *_, row in found}
    if exact or len(ids) == 1:
        return exact or found
    if ids:
        shown = ", ".join(sorted(ids)[:_NEAREST])
        raise DataError(f"{row_id}: begins the ids of {len(ids)} rows ({shown}, ...); give more")
    nearest = _nearest(row_id, _all_ids(workspace))
    if not nearest:
        raise DataError(f"{workspace.root}: no rows; `clara mine` writes them")
    raise DataError(
        f"{row_id}: no row of {workspace.root} has this id; the nearest are {', '.join(nearest)}"
    )


def _lines(workspace: Workspace) -> Iterator[tuple[str, int, bytes]]:
    for name in ROW_FILES:
        if (path := workspace.root / name).is_file():
            with path.open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    if line.strip():
                        yield name, number, line


def _read(line: bytes) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _all_ids(workspace: Workspace) -> set[str]:
    return {str(identity) for *_, line in _lines(workspace) if (identity := _read(line).get("id"))}


def _nearest(row_id: str, ids: Iterable[str]) -> list[str]:
    """The ids most like a mistyped one: those that agree place by place, then in their order."""

    def agreement(other: str) -> tuple[int, str]:
        return -sum(a == b for a, b in zip(row_id, other, strict=False)), other

    likely = sorted(ids, key=agreement)[:200]
    return sorted(likely, key=lambda other: -SequenceMatcher(None, row_id, other).ratio())[
        :_NEAREST
    ]


def _by_key(path: Path, key: str, wanted: Iterable[str], notes: list[str]) -> dict[str, Record]:
    """The records of a file that bear the wanted names, in the order wanted."""
    names = list(dict.fromkeys(wanted))
    found: dict[str, Record] = {}
    if names and not path.is_file():
        notes.append(f"{path.name} is not in the workspace")
        return found
    if names:
        marks = [json.dumps(name, ensure_ascii=False).encode() for name in names]
        with path.open("rb") as stream:
            for line in stream:
                if any(mark in line for mark in marks):
                    record = _read(line)
                    if record.get(key) in names:
                        found[record[key]] = record
    notes += [f"{name} is not in {path.name}" for name in names if name not in found]
    return {name: found[name] for name in names if name in found}


def _made_by(row: Record, syntheses: dict[str, Record]) -> Record:
    """Who made the row, as it says itself, completed by what synthesis noted of its passage."""
    noted = next(iter(syntheses.values()), {})
    made = {key: row.get(key, noted.get(key)) for key in _MADE_BY}
    return {key: value for key, value in made.items() if value not in (None, "", [])}


def _passage(passage: Record, document: Record, workspace: Workspace, row: Record) -> Record:
    shown = [i for i, name in enumerate(row.get("doc_ids") or ()) if name == passage["id"]]
    return {
        **passage,
        "shown_as_document": shown,
        "document": {
            key: document.get(key) for key in ("file_path", "filename", "source_type")
            if document.get(key)
        },
        "images": _images(passage, document, workspace),
    }  # fmt: skip


def _images(passage: Record, document: Record, workspace: Workspace) -> list[Record]:
    """Pictures of the document whose caption stands in the passage, each with its `places`."""
    if not workspace.captions.is_file():
        return []
    own = {_image_name(image) for image in document.get("extracted_images") or ()}
    text = " ".join(passage["text"].split())
    found = []
    with workspace.captions.open("rb") as stream:
        for line in stream:
            caption = _read(line)
            words = " ".join(str(caption.get("caption") or "").split())
            if not words or (own and _image_name(caption.get("image")) not in own):
                continue
            # A long caption may be cut over passages; its first part is enough to know it.
            if words in text or text in words or words[:60] in text:
                found.append({**caption, "places": _places_of(caption, document)})
    return found


def _places_of(caption: Record, document: Record) -> list[Record]:
    """Page, heading path and box of each mark of a picture, as extraction noted them."""
    name = _image_name(caption.get("image"))
    return [
        {key: image.get(key) for key in ("page", "heading", "box")}
        for image in document.get("images") or ()
        if _image_name(image.get("name")) == name
    ]


def _image_name(image: Any) -> str:
    """File name of an image, given as a path or as a record that holds one."""
    if isinstance(image, dict):
        image = image.get("image") or image.get("path") or image.get("file") or ""
    return str(image).rsplit("/", 1)[-1]


def _request_ids(row: Record, syntheses: Iterable[Record]) -> list[str]:
    """Requests that the row names; else those of its pair, or paraphrase, in synthesis."""
    named = row.get("requests")
    if not named:
        named = [key for synthesis in syntheses for key in _requests_of(row, synthesis)]
    return list(dict.fromkeys(key for key in _flat(named) if key))


def _requests_of(row: Record, synthesis: Record) -> Iterator[Any]:
    asked = row.get("question")
    questions = set(asked) if isinstance(asked, list) else {asked}
    for kind in _PAIRS:
        for pair in synthesis.get(kind) or ():
            if pair.get("question") in questions:
                yield from pair.get("requests") or ()
    if row.get("data_type") == "paraphrase":
        yield from synthesis.get("paraphrase_requests") or ()


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _flat(item)


def _request(workspace: Workspace, key: str, notes: list[str]) -> Record:
    """What the cache keeps of a request: purpose, model, the request itself, and the reply."""
    paths = sorted((workspace.cache / key[:2]).glob(f"{key}*.json")) if key.isalnum() else []
    for path in paths:
        entry = _read(path.read_bytes())
        if entry:
            return {"id": key, "cached_in": str(path.relative_to(workspace.root)), **entry}
    notes.append(f"request {key} is not in the cache of this workspace")
    return {"id": key}
