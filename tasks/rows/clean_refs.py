"""Legacy rows with image marks or image file names in their texts, made fit for training."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from clara_model.row_dialects import guess_stage, normalise_row
from clara_model.rows import read_jsonl
from tasks.rows.documents import keep_documents
from tasks.storage import Record, Reject, StepResult, write_jsonl

log = logging.getLogger(__name__)

STEP = "clean-refs"

_PICTURE = r"(?:png|jpe?g|gif|bmp|tiff?|webp|svg|emf|wmf)(?![A-Za-z0-9])"
_FILE = rf"(?:{_PICTURE}|(?:pdf|docx?|pptx?|xlsx?)(?![A-Za-z0-9]))"
# A name starts where no name could have started before it: long runs stay linear to search.
_SIGN = r"[A-Za-z0-9_./\\%-]"
_STEM = rf"(?<!{_SIGN})(?:(?:https?|file):)?{_SIGN}*[A-Za-z0-9_%-]"
_HAN = r"[\u3400-\u9fff]"
_HAN_STEM = rf"(?<!{_HAN}){_HAN}+"

_MARK = re.compile(r"\[IMAGE_REF:[^\]]*\]|!\[[^\]\n]*\]\([^)\s]*\)", re.IGNORECASE)
_PICTURE_NAMES = tuple(
    re.compile(
        rf"[(（]\s*(?:see|cf\.?|见|参见|如)?\s*{stem}\.{_PICTURE}\s*[)）]"
        rf"|[\"'`“]{stem}\.{_PICTURE}[\"'`”]|{stem}\.{_PICTURE}",
        re.IGNORECASE,
    )
    for stem in (_STEM, _HAN_STEM)
)
_ASKS_ABOUT_FILE = re.compile(
    rf"{_STEM}\.{_FILE}|{_HAN_STEM}\.{_FILE}|\bIMAGE_REF\b|\bfile ?names?\b"
    r"|\b(?:this|which) (?:image )?file\b(?! ?(?:systems?|formats?|types?|servers?)\b)"
    r"|文件名|[哪这]个(?:图片|图像)?文件(?!系统|格式|类型)",
    re.IGNORECASE,
)
_GAP_BEFORE_SIGN = re.compile(r"[ \t]+(?=[,.;:!?，。；：！？])")
_SPACES = re.compile(r"[ \t]{2,}")
_EMPTY_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")


def clean_refs(path: Path, out: Path) -> StepResult:
    """Remove `[IMAGE_REF: ...]` marks and image file names from a file of rows.

    Marks go from documents and answers. A question that asks about a file goes with its answer; a
    document of nothing but marks goes, and `pos_index` follows. A row that loses its question, its
    answer or its gold document is set aside. Rows without marks are written as they are read;
    cleaned ones of another dialect are written in ours.

    Returns:
        Counts `rows_in`, `rows_out`, `changed`, `marks_removed`, `rejected`, and the rejects
        (item: file and line, with the row's id where it has one).

    Raises:
        DataError: If the file is missing, is not JSONL, or `out` is the same file.
    """
    if out.resolve() == path.resolve():
        raise DataError(f"{out}: would overwrite its source; choose another name with --out")
    rows: list[Record] = []
    rejects: list[Reject] = []
    marks = changed = rows_in = 0
    for number, record in read_jsonl(path):
        rows_in += 1
        if not _is_marked(record):
            rows.append(record)
            continue
        stage = guess_stage(record)
        row, _ = normalise_row(record, stage)
        row, removed, reason = clean_row(row, stage)
        marks += removed
        if reason:
            rejects.append(_reject(path, number, record, reason))
        else:
            changed += 1
            rows.append(row)
    counts = {
        "rows_in": rows_in,
        "rows_out": write_jsonl(out, rows),
        "changed": changed,
        "marks_removed": marks,
        "rejected": len(rejects),
    }
    log.info("%s: %d of %d rows kept, %d marks removed", path, counts["rows_out"], rows_in, marks)
    return StepResult(dict(counts), tuple(rejects))


def clean_row(row: Record, stage: str) -> tuple[Record, int, str | None]:
    """One row of our own format without marks and questions about files.

    Returns:
        The row (the same object, changed), the marks removed, and why the row does not survive it,
        if so.
    """
    if reason := _unusable(row, stage):
        return row, 0, reason
    marks = _clean_row(row)
    row, reason = _settle(row, stage)
    return row, marks, reason


def remove_marks(text: str) -> tuple[str, int]:
    """A text without image marks and image file names, tidied where they stood; and how many."""
    text, marks = _MARK.subn(" ", text)
    for names in _PICTURE_NAMES:
        text, count = names.subn(" ", text)
        marks += count
    if marks:
        text = _SPACES.sub(" ", _GAP_BEFORE_SIGN.sub("", text))
        text = _EMPTY_LINES.sub("\n\n", "\n".join(line.strip() for line in text.split("\n")))
    return text.strip() if marks else text, marks


def has_marks(text: str) -> bool:
    """Whether a text bears an image mark or the name of an image file."""
    return bool(_MARK.search(text) or any(names.search(text) for names in _PICTURE_NAMES))


def asks_about_file(question: str) -> bool:
    """Whether a question names a file or asks for one: no reader of the text could answer it."""
    return _ASKS_ABOUT_FILE.search(question) is not None


def _is_marked(value: Any) -> bool:
    """Whether any text of a row bears a mark, or its question asks about a file."""
    if isinstance(value, str):
        return has_marks(value)
    if isinstance(value, list):
        return any(_is_marked(item) for item in value)
    if isinstance(value, dict):
        asked = value.get("question", value.get("instruction", ""))
        asked = asked if isinstance(asked, list) else [asked]
        if any(isinstance(q, str) and asks_about_file(q) for q in asked):
            return True
        return any(_is_marked(item) for key, item in value.items() if key not in _NOT_TEXT)
    return False


# Where a row came from may well name an image; that is no text to learn from.
_NOT_TEXT = {"id", "source", "passage_id", "doc_ids", "file_path", "filename", "extracted_images"}


def _unusable(row: Record, stage: str) -> str | None:
    """Why a row cannot be cleaned at all, if so."""
    needed = ("question", "answers", "docs") if stage == "stage1" else (
        "question", "gold_answer", "docs")  # fmt: skip
    for key in needed:
        if row.get(key) in (None, []):
            return f"no {key}"
    if row.get("data_type") == "qa" and len(row["question"]) != len(row["answers"]):
        return f"{len(row['question'])} questions but {len(row['answers'])} answers"
    if stage != "stage1" and asks_about_file(row["question"]):
        return "its question asks about a file"
    return None


def _clean_row(row: Record) -> int:
    """Clean documents and answers in place; returns the marks removed."""
    total = 0
    for key in ("answers", "docs", "gold_answer", "answer", "golden_answers"):
        value = row.get(key)
        if isinstance(value, str):
            row[key], count = remove_marks(value)
            total += count
        elif isinstance(value, list):
            cleaned = [remove_marks(item) if isinstance(item, str) else (item, 0) for item in value]
            row[key] = [item for item, _ in cleaned]
            total += sum(count for _, count in cleaned)
    return total


def _settle(row: Record, stage: str) -> tuple[Record, str | None]:
    """Drop what cleaning left empty; the reason if the row does not survive that."""
    kept = [i for i, text in enumerate(row["docs"]) if text.strip()]
    if stage == "stage1":
        return _settle_pairs(row, kept)
    if not row["gold_answer"].strip() or not row.get("answer", "x").strip():
        return row, "its answer is nothing but a file name"
    golds = row.get("pos_index", [])
    if not kept or any(gold not in kept for gold in golds):
        return row, "its gold document holds nothing but image marks"
    keep_documents(row, kept)
    return row, None


def _settle_pairs(row: Record, kept: list[int]) -> tuple[Record, str | None]:
    if not kept:
        return row, "its document holds nothing but image marks"
    if row.get("data_type") == "paraphrase":
        row["answers"] = [answer for answer in row["answers"] if answer.strip()]
        return row, None if row["answers"] else "its paraphrase is nothing but image marks"
    kinds, size = row.get("kinds"), len(row["question"])
    pairs = [
        i
        for i in range(size)
        if not asks_about_file(row["question"][i]) and row["answers"][i].strip()
    ]
    if not pairs:
        return row, "all its questions ask about a file"
    row["question"] = [row["question"][i] for i in pairs]
    row["answers"] = [row["answers"][i] for i in pairs]
    if isinstance(kinds, list) and len(kinds) == size:
        row["kinds"] = [kinds[i] for i in pairs]
    return row, None


def _reject(path: Path, number: int, record: Record, reason: str) -> Reject:
    identity = f" ({record['id']})" if record.get("id") else ""
    return Reject(STEP, f"{path.name}:{number}{identity}", reason)
