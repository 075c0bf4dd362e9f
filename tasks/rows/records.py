"""One row at a time: how questions, candidates and their origin are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tasks.negatives.mine import Picked, arrange
from tasks.negatives.pool import PassagePool
from tasks.rows.inputs import Entry, Kind, Passage, Question
from tasks.storage import Record

# Stage 1 follows the paper: one-fact questions, questions that join facts, and paraphrases.
PRETRAIN_KINDS: frozenset[Kind] = frozenset(("simple_qa", "complex_qa"))
# Who put a candidate that no strategy found into a row.
_ASKED_ABOUT = "asked about"


def row_id(*parts: str) -> str:
    """A name that the same content always gets: 16 hexadecimal digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def pretrain_rows(entries: Iterable[Entry]) -> Iterator[Record]:
    """Per passage one row of all its simple and complex questions, and one of its paraphrase."""
    for entry in entries:
        passage = entry.passage
        asked = [q for q in entry.questions if q.kind in PRETRAIN_KINDS]
        if asked:
            kinds = [q.kind for q in asked]
            yield {
                "id": row_id("qa", passage.id),
                "origin": "documents",
                "data_type": "qa",
                "question": [q.question for q in asked],
                "answers": [q.answer for q in asked],
                "docs": [passage.text],
                "kind": kinds[0] if len(set(kinds)) == 1 else "mixed",
                "kinds": kinds,
                **_about((passage,), passage.language, entry.made_by),
                "requests": list(dict.fromkeys(r for q in asked for r in q.requests)),
            }
        if entry.paraphrase:
            yield {
                "id": row_id("paraphrase", passage.id),
                "origin": "documents",
                "data_type": "paraphrase",
                "question": [""],
                "answers": [entry.paraphrase],
                "docs": [passage.text],
                "kind": "paraphrase",
                **_about((passage,), passage.language, entry.made_by),
                "requests": list(entry.paraphrase_requests),
            }


def question_row(
    pool: PassagePool, question: Question, picked: Picked, purpose: str, seed: str
) -> Record:
    """A row of stage 2, stage 3 or the benchmark: the passages asked about, and the negatives.

    Args:
        pool: What `picked` counts in.
        question: What is asked; `pos_index` stays empty if nothing answers it.
        picked: The negatives shown.
        purpose: "stage2", "stage3" or "benchmark"; part of the row's id.
        seed: Decides the order of the candidates.
    """
    golds = [pool.position(passage.id) for passage in question.passages]
    shown = arrange([*golds, *picked.positions], seed)
    found_by = dict(zip(picked.positions, picked.found_by, strict=True))
    return candidate_row(
        pool, question, shown, [found_by.get(p, _ASKED_ABOUT) for p in shown], purpose
    )


def candidate_row(
    pool: PassagePool,
    question: Question,
    shown: Sequence[int],
    found_by: Sequence[str],
    purpose: str,
) -> Record:
    """A row of the candidates given, in their order."""
    golds = {pool.position(passage.id) for passage in question.passages}
    return {
        "id": row_id(purpose, question.passages[0].id, question.question),
        "origin": "documents",
        "question": question.question,
        "docs": [pool.texts[p] for p in shown],
        "gold_answer": question.answer,
        "pos_index": (
            [i for i, p in enumerate(shown) if p in golds] if question.is_answerable else []
        ),
        "kind": question.kind,
        **_about(question.passages, question.language, question.made_by),
        "requests": list(question.requests),
        "doc_ids": [pool.ids[p] for p in shown],
        "found_by": list(found_by),
    }


def _about(passages: Sequence[Passage], language: str, made_by: dict[str, Any]) -> dict[str, Any]:
    """Where a row is from; `passage_id`, `source` and `page` are the first passage's."""
    first = passages[0]
    about: dict[str, Any] = {
        "passage_id": first.id,
        "passage_ids": [passage.id for passage in passages],
        "source": first.source,
        "page": first.page,
        "language": language,
        "passage_language": first.language,
        **made_by,
    }
    if len({passage.source for passage in passages}) > 1:
        about["sources"] = [passage.source for passage in passages]
    return about
