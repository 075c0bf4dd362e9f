"""The passages step: documents to passages of at most `doc_max_length` tokens."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.passages.alike import group_alike
from tasks.passages.blocks import page_of, read_units
from tasks.passages.pack import CountTokens, TooLong, pack
from tasks.passages.places import box_of, insert_and_move
from tasks.passages.sentences import detect_language
from tasks.progress import progress
from tasks.storage import Record, Reject, StepResult, read_records, write_jsonl
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STEP = "passages"
# Signs that could not be read: at an end, a passage would seem to be cut inside one.
_STRAY = re.compile(r"^(?:\s*\ufffd)+\s*|\s*(?:\ufffd\s*)+$")


def make_passages(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Cut every document into passages and decide which documents are held out.

    Captions stand in the place of their image marks. No sentence, list item or table row is cut;
    one that is longer than a passage is cut at clauses, or set aside if that does not help.

    Raises:
        DataError: If the tokenizer is missing, or no document gives a passage.
    """
    count = _token_counter(workspace.models / "tokenizer" / "tokenizer.json")
    captions = {
        row["image"]: row["caption"]
        for row in read_records(workspace.captions)
        if row["status"] == "captioned"
    }
    documents = read_records(workspace.raw_knowledge)
    passages: list[Record] = []
    rejects: list[Reject] = []
    seen: dict[str, str] = {}
    with progress("passages", len(documents)) as advance:
        for document in documents:
            _cut(document, captions, config, count, passages, rejects, seen)
            advance()
    if not passages:
        raise DataError(
            f"{workspace.raw_knowledge}: no document holds any text; look into {workspace.rejected}"
        )
    sources = {passage["source"] for passage in passages}
    # Versions of one document share a side, or training would read what the benchmark asks about.
    groups = group_alike(
        {d["file_path"]: d["content"] for d in documents if d["file_path"] in sources}
    )
    held_out = choose_held_out(groups, config.synthesis.benchmark_share, config.seed)
    for passage in passages:
        passage["split"] = "benchmark" if passage["source"] in held_out else "train"
    write_jsonl(workspace.passages, passages)
    return StepResult(
        {
            "passages": len(passages),
            "documents": len(sources),
            "benchmark_documents": len(held_out),
            "tokens_mean": round(sum(p["tokens"] for p in passages) / len(passages), 1),
            "rejected": len(rejects),
        },
        tuple(rejects),
    )


def choose_held_out(groups: Sequence[list[str]], share: float, seed: int) -> set[str]:
    """Sources held out as benchmark: the share of them, at least one group, and never all.

    Args:
        groups: Sources, those together that must stay together.
        share: Of the sources.
        seed: Of the draw.
    """
    if share == 0 or len(groups) < 2:
        return set()
    size = sum(map(len, groups))
    wanted = min(max(round(share * size), 1), size - 1)
    order = random.Random(f"held out {seed}").sample(sorted(groups), min(wanted, len(groups) - 1))
    held_out: set[str] = set()
    for group in order:
        if len(held_out) + len(group) <= wanted:  # a group that would overshoot is passed over
            held_out |= set(group)
    smallest: list[str] = min(groups, key=lambda group: (len(group), group))
    return held_out or set(smallest)


def _cut(
    document: Record,
    captions: dict[str, str],
    config: PipelineConfig,
    count: CountTokens,
    passages: list[Record],
    rejects: list[Reject],
    seen: dict[str, str],
) -> None:
    source = document["file_path"]
    content, page_starts, places = insert_and_move(document, captions)
    for piece in pack(read_units(content), config.model.doc_max_length, count):
        if isinstance(piece, TooLong):
            reason = f"{piece.tokens} tokens in one piece, more than a passage holds"
            rejects.append(Reject(STEP, f"{source}: {piece.text[:60]}", reason))
            continue
        text = _STRAY.sub("", piece.text)
        identity = " ".join(text.lower().split())
        name = _id(source, text)
        if not text:
            rejects.append(Reject(STEP, name, "nothing but broken signs"))
            continue
        if identity in seen:
            rejects.append(Reject(STEP, name, f"the same text as passage {seen[identity]}"))
            continue
        seen[identity] = name
        page = page_of(piece.offset, page_starts)
        passages.append(
            {
                "id": name,
                "source": source,
                "page": page,
                "box": box_of(piece.offset, piece.last, page, places),
                "heading": " > ".join(piece.headings),
                "text": text,
                "language": detect_language(text),
                "tokens": count(text),
            }
        )


def _token_counter(path: Path) -> CountTokens:
    if not path.is_file():
        raise DataError(f"{path}: no tokenizer; `clara synthesize` prepares it")
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _id(source: str, text: str) -> str:
    return hashlib.sha256(f"{source}\n{text}".encode()).hexdigest()[:16]
