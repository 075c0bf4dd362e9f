"""Proof that training never saw what the benchmark asks about, read back from the written files."""

from __future__ import annotations

from collections.abc import Iterator

from clara_model.errors import DataError
from clara_model.rows import read_jsonl
from tasks.negatives.answers import plain_text
from tasks.storage import Record
from tasks.workspace import Workspace

# Enough to see the pattern; a broken split has thousands.
_NAMED = 3


def audit_split(workspace: Workspace) -> None:
    """Check the split of a workspace's rows.

    No source has passages on both sides; no training row is about, or shows, a benchmark passage
    (by id, source or text); every benchmark row is about a benchmark passage; no question is asked
    on both sides.

    Raises:
        DataError: If any of this does not hold; names the first violations.
    """
    found = list(find_violations(workspace))
    if found:
        more = f" (and {len(found) - _NAMED} more)" if len(found) > _NAMED else ""
        raise DataError(
            f"{workspace.root}: training and benchmark are not apart: "
            f"{'; '.join(found[:_NAMED])}{more}. "
            "Run `clara synthesize --force`, then `clara mine --force`"
        )


def find_violations(workspace: Workspace) -> Iterator[str]:
    """Every way in which the two sides touch, in words."""
    held_ids, held_texts = set(), set()
    sides: dict[str, str] = {}
    for _, passage in read_jsonl(workspace.passages):
        side, source = passage["split"], passage["source"]
        if sides.setdefault(source, side) != side:
            yield f"source {source} is on both sides"
        if side == "benchmark":
            held_ids.add(passage["id"])
            held_texts.add(plain_text(passage["text"]))

    held_questions = set()
    for name in ("oracle.jsonl", "normal.jsonl"):
        path = workspace.benchmark / name
        for number, row in read_jsonl(path):
            held_questions.add(plain_text(row["question"]))
            if row["passage_id"] not in held_ids:
                yield f"{name}:{number} asks about training passage {row['passage_id']}"

    for number, row in read_jsonl(workspace.all_training_data):
        where = f"{workspace.all_training_data.name}:{number}"
        if row["passage_id"] in held_ids or sides.get(row["source"]) == "benchmark":
            yield f"{where} is about benchmark passage {row['passage_id']}"
        if any(plain_text(text) in held_texts for text in row["docs"]):
            yield f"{where} shows a benchmark passage"
        if any(plain_text(q) in held_questions for q in _asked(row)):
            yield f"{where} asks a benchmark question"


def _asked(row: Record) -> list[str]:
    questions = row["question"] if isinstance(row["question"], list) else [row["question"]]
    return [question for question in questions if question]
