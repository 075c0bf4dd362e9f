"""MuSiQue: 2 to 4 hops over twenty paragraphs; aliases, and questions that have no answer."""

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
    list_of_texts,
    text_of,
)


def read(record: Record, number: int) -> Sample:
    """A question over its paragraphs.

    MuSiQue-Ans has answerable questions only. In MuSiQue-Full, `answerable` false means that a
    step's paragraph was taken away: such a question has no golds and no answer score.
    """
    paragraphs = _paragraphs(record)
    answerable = record.get("answerable", True)
    if not isinstance(answerable, bool):
        raise BadRecord("answerable is neither true nor false")
    golds: tuple[str, ...] = ()
    if answerable:
        aliases = list_of_texts(record.get("answer_aliases") or [], "answer_aliases")
        golds = tuple(dict.fromkeys((*answers_of(record, "answer"), *aliases)))
    sample_id = id_of(record, number, "id", "_id")
    supporting = tuple(i for i, p in enumerate(paragraphs) if p.get("is_supporting") is True)
    extras: dict[str, Any] = {
        # The script's support metric compares `idx`, which need not be the position.
        "support": [paragraphs[i].get("idx", i) for i in supporting],
        "decomposition": record.get("question_decomposition") or [],
    }
    return Sample(
        id=sample_id,
        question=text_of(record, "question"),
        golds=golds,
        documents=tuple(_document(p) for p in paragraphs),
        gold_positions=supporting,
        kind=sample_id.partition("__")[0] if "hop" in sample_id else "",
        answerable=answerable,
        extras=extras,
    )


def _paragraphs(record: Record) -> list[Record]:
    paragraphs = record.get("paragraphs")
    if not isinstance(paragraphs, list) or not paragraphs:
        raise BadRecord("paragraphs is missing or empty")
    if not all(isinstance(paragraph, dict) for paragraph in paragraphs):
        raise BadRecord("paragraphs holds something that is no object")
    return paragraphs


def _document(paragraph: Record) -> Document:
    title = paragraph.get("title") or ""
    return Document(str(title).strip(), text_of(paragraph, "paragraph_text", "text"))


SPEC = Spec(
    name="musique",
    title="MuSiQue-Ans",
    citation="Trivedi et al., MuSiQue: Multihop Questions via Single-hop Question Composition, "
    "TACL 2022, arXiv 2108.00573",
    source="https://github.com/StonyBrookNLP/musique (musique_ans_v1.0_dev.jsonl)",
    version=1,
    fields={
        "id": "id; its first part is the kind: 2hop, 3hop1, 4hop3, ...",
        "question": "question", "answer": "the main gold", "answer_aliases": "further golds",
        "answerable": "false: no golds, left out of answer scores",
        "paragraphs": "documents: title, paragraph_text; gold where is_supporting",
        "question_decomposition": "extras",
    },
    metrics=("musique.f1", "musique.em"),
    fact_metrics=("musique.support_f1", "musique.support_em"),
    recognises=lambda record: "question" in record and "paragraphs" in record
    and "qas" not in record,
    read=read,
)  # fmt: skip
