"""Natural Questions open: questions with one or many golds, with or without passages."""

from __future__ import annotations

from typing import Any

from clara_model.evaluation.benchmarks.sample import (
    BadRecord,
    Document,
    Record,
    Sample,
    Spec,
    answers_of,
    id_of,
    text_of,
)

_DPR_LISTS = ("positive_ctxs", "hard_negative_ctxs", "negative_ctxs")


def read(record: Record, number: int) -> Sample:
    """A question with its passages, if the file has any.

    Gold passages are those marked `isgold`, or those of `positive_ctxs`. Where a file marks only
    which passages hold the answer's words (`hasanswer`), these are taken, and
    `extras["golds_by"]` says so.
    """
    passages, golds, golds_by = _passages(record)
    return Sample(
        id=id_of(record, number, "id", "_id", "question_id", "example_id"),
        question=text_of(record, "question", "query"),
        golds=answers_of(record, "answers", "answer", "golden_answers"),
        documents=tuple(_document(passage) for passage in passages),
        gold_positions=golds,
        extras={"golds_by": golds_by} if golds_by else {},
    )


def _passages(record: Record) -> tuple[list[Record], tuple[int, ...], str]:
    if any(name in record for name in _DPR_LISTS):
        lists = [_objects(record.get(name) or [], name) for name in _DPR_LISTS]
        passages = [passage for group in lists for passage in group]
        return passages, tuple(range(len(lists[0]))), "positive_ctxs"
    passages = _objects(record.get("ctxs") or [], "ctxs")
    for mark in ("isgold", "is_gold", "hasanswer", "has_answer"):
        if any(mark in passage for passage in passages):
            golds = tuple(i for i, passage in enumerate(passages) if passage.get(mark) is True)
            return passages, golds, mark
    return passages, (), ""


def _objects(items: Any, name: str) -> list[Record]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadRecord(f"{name} is no list of passages")
    return items


def _document(passage: Record) -> Document:
    return Document(
        str(passage.get("title") or "").strip(), text_of(passage, "text", "contents", "content")
    )


def _recognises(record: Record) -> bool:
    if "question" not in record or "docs" in record or "context" in record:
        return False
    if "ctxs" in record or any(name in record for name in _DPR_LISTS):
        return True
    bare = {"question", "answer", "answers", "id", "golden_answers", "example_id", "metadata"}
    has_answer = bool({"answer", "answers", "golden_answers"} & record.keys())
    return has_answer and not record.keys() - bare


SPEC = Spec(
    name="nq",
    title="Natural Questions (open)",
    citation="Kwiatkowski et al., Natural Questions, TACL 2019; open form: Lee et al., Latent "
    "Retrieval for Weakly Supervised Open Domain Question Answering, ACL 2019, arXiv 1906.00300",
    source="https://github.com/google-research-datasets/natural-questions (nq_open); with gold "
    "passages: https://github.com/nelson-liu/lost-in-the-middle (arXiv 2307.03172)",
    version=1,
    fields={
        "question": "question", "answer / answers": "golds, one or many",
        "ctxs": "documents: title, text; gold where isgold (else hasanswer)",
        "positive_ctxs, negative_ctxs, hard_negative_ctxs": "documents in DPR's form",
    },
    metrics=("orqa_nq.em", "dpr.em", "dpr.has_answer"),
    recognises=_recognises,
    read=read,
)  # fmt: skip
