"""The rows that are timed: real ones where they are given, else generated text of like lengths."""

from __future__ import annotations

import os
import random
import statistics
from pathlib import Path
from typing import Any

from clara_model.rows import read_rows

Row = dict[str, Any]

NUM_CANDIDATES = 20  # arXiv 2511.18659, table 10
NUM_CONTEXT = 5  # documents of a stage 2 row, likewise

_FILE = Path("rows") / "ml_clara_pretrain_1000.jsonl"
# Deciles of that file in characters; generated documents and answers follow them.
_DOCUMENT_CHARS = (90, 160, 250, 406, 586, 656, 695, 740, 791, 893, 1200)
_PAIRS = 8  # questions and answers of a document, on average
_PAIR_CHARS = (55, 74)  # of a question and of an answer, on average


def load_pretrain_rows(shared: Path | None) -> tuple[list[Row], str]:
    """Stage 1 rows, and where they are from.

    Args:
        shared: A folder that holds `rows/ml_clara_pretrain_1000.jsonl`, or None for
            `CLARA_SHARED` or the folder `shared` beside the checkout.
    """
    root = Path(__file__).resolve().parents[1]
    folder = shared or Path(os.environ.get("CLARA_SHARED", root.parent / "shared"))
    path = folder / _FILE
    if path.is_file():
        rows = list(read_rows(path, "stage1"))
        return rows, f"`{_FILE.as_posix()}` ({len(rows):,} rows of the authors' example data)"
    return _generated_rows(1000), (
        "generated text whose lengths follow the deciles of the authors' example rows "
        "(those were not found; set CLARA_SHARED)"
    )


def rows_of_stage(pretrain: list[Row], stage: str, count: int, pool: int) -> list[Row]:
    """Rows of a stage, all from the pretraining rows: no example is chosen by its length.

    Stage 2 asks a row's first question over its document and four others, stage 3 over its
    document and 19 others, all of a pool of passages. What is asked costs the same whichever
    documents stand beside the right one.
    """
    rng = random.Random(f"rows of {stage}")
    if stage == "stage1":
        return rng.sample(pretrain, count)
    asked = [row for row in pretrain if row["data_type"] == "qa"]
    passages = rng.sample(asked, min(pool, len(asked)))
    number = NUM_CONTEXT if stage == "stage2" else NUM_CANDIDATES
    rows = []
    for i in range(count):
        row = passages[i % len(passages)]
        others = [p["docs"][0] for p in rng.sample(passages, number) if p is not row]
        docs = [row["docs"][0], *others[: number - 1]]
        rng.shuffle(docs)
        rows.append(
            {
                "question": row["question"][0],
                "answer": row["answers"][0],
                "gold_answer": row["answers"][0],
                "docs": docs,
                "pos_index": [docs.index(row["docs"][0])],
            }
        )
    return rows


def texts(rows: list[Row]) -> list[str]:
    """Everything written in stage 1 rows."""
    return [text for row in rows for text in (*row["docs"], *row["question"], *row["answers"])]


def questions_per_passage(rows: list[Row]) -> float:
    """How many questions of its own a passage has."""
    return statistics.mean(len(row["question"]) for row in rows if row["data_type"] == "qa")


def _generated_rows(count: int) -> list[Row]:
    rng = random.Random(0)
    words = ["".join(rng.choices("aeioulnrstdm", k=rng.randint(2, 9))) for _ in range(12_000)]

    def text(chars: int) -> str:
        parts: list[str] = []
        while sum(map(len, parts)) + len(parts) < chars:
            # Words of a language are not equally frequent.
            parts.append(words[int(len(words) * rng.random() ** 4)])
        return " ".join(parts)

    rows = []
    for _ in range(count):
        low = rng.randrange(len(_DOCUMENT_CHARS) - 1)
        document = text(rng.randint(_DOCUMENT_CHARS[low], _DOCUMENT_CHARS[low + 1]))
        pairs = max(1, round(_PAIRS * len(document) / _DOCUMENT_CHARS[5]))
        rows.append(
            {
                "data_type": "qa",
                "docs": [document],
                "question": [text(_PAIR_CHARS[0]) + "?" for _ in range(pairs)],
                "answers": [text(_PAIR_CHARS[1]) for _ in range(pairs)],
            }
        )
    return rows
