"""SQuAD's shape, which CMRC 2018, DRCD and many others share: questions under paragraphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clara_model.evaluation.benchmarks.files import records_of
from clara_model.evaluation.benchmarks.sample import (
    BadRecord,
    Document,
    Record,
    Sample,
    answers_of,
    id_of,
    text_of,
)


def unfold(content: Any) -> Iterator[tuple[str, Any]]:
    """One flat record a question: id, question, context, title, answers, is_impossible.

    Knows articles with paragraphs (SQuAD, CMRC 2018), paragraphs alone (CMRC's first form), and
    rows that are flat already (the hub's). What has another shape is passed on as it is, for
    reading to refuse.
    """
    for place, item in records_of(content):
        if isinstance(item, dict) and isinstance(item.get("paragraphs"), list):
            for i, paragraph in enumerate(item["paragraphs"]):
                yield from _paragraph(f"{place}, paragraph {i}", paragraph, item.get("title"))
        elif isinstance(item, dict) and isinstance(item.get("qas"), list):
            yield from _paragraph(place, item, item.get("title"))
        else:
            yield place, item


def read(record: Record, number: int) -> Sample:
    """A question about one paragraph, which is its gold document."""
    impossible = record.get("is_impossible") is True
    answers = record.get("answers")
    if isinstance(answers, dict):  # the hub's columns
        answers = answers.get("text")
    elif isinstance(answers, list):
        answers = [item.get("text") if isinstance(item, dict) else item for item in answers]
    given = record | {"answers": answers}
    if not impossible and "is_impossible" not in record and answers == []:
        # The hub's SQuAD 2 marks unanswerable questions by an empty list alone.
        impossible = True
    return Sample(
        id=id_of(record, number, "id", "query_id", "_id"),
        question=text_of(record, "question", "query_text"),
        golds=() if impossible else answers_of(given, "answers", "answer"),
        documents=(Document(str(record.get("title") or "").strip(), _context(record)),),
        gold_positions=(0,),
        answerable=not impossible,
    )


def is_flat_reading(record: Record) -> bool:
    """Whether a flat record asks about one paragraph of text."""
    has_question = "question" in record or "query_text" in record
    has_context = isinstance(record.get("context", record.get("context_text")), str)
    return has_question and has_context and "answers" in record


def _paragraph(place: str, paragraph: Any, title: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
        yield place, {"fault": "a paragraph without a list of questions (qas)"}
        return
    context = paragraph.get("context", paragraph.get("context_text"))
    for i, question in enumerate(paragraph["qas"]):
        flat = question if isinstance(question, dict) else {"question": question}
        yield f"{place}, question {i}", {"title": title, "context": context, **flat}


def _context(record: Record) -> str:
    if "fault" in record:
        raise BadRecord(str(record["fault"]))
    return text_of(record, "context", "context_text")
