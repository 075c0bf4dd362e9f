"""Evaluation rows of the CLaRa authors: question, N documents, positions of the golds."""

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
    """A question over its candidates, whose order is kept."""
    documents = _documents(record)
    answerable = record.get("answerable", True) is not False
    names = ("golden_answers", "answers", "answer", "gold_answer")
    given = {name: record.get(name) for name in names if record.get(name) not in (None, "", [])}
    golds = answers_of(given or record, *names)
    if "gold_answer" in given and len(given) > 1:
        # The main gold first: the paper's own metric reads no other.
        main = list_of_texts(given["gold_answer"], "gold_answer")
        golds = tuple(dict.fromkeys((*main, *golds)))
    return Sample(
        id=id_of(record, number, "id", "_id"),
        question=text_of(record, "question", "query"),
        golds=golds,
        documents=documents,
        gold_positions=_positions(record, len(documents)),
        kind=str(record.get("type") or record.get("kind") or record.get("dataset") or ""),
        answerable=answerable,
        extras={"provider": str(record["provider"])} if record.get("provider") else {},
    )


def _documents(record: Record) -> tuple[Document, ...]:
    docs = record.get("docs", record.get("documents"))
    if not isinstance(docs, list) or not docs:
        raise BadRecord("docs is missing or empty")
    return tuple(_document(doc, i) for i, doc in enumerate(docs))


def _document(doc: Any, position: int) -> Document:
    if isinstance(doc, str) and doc.strip():
        return Document("", doc.strip())
    if isinstance(doc, dict):
        text = text_of(doc, "text", "contents", "content", "passage")
        return Document(str(doc.get("title") or "").strip(), text)
    raise BadRecord(f"docs[{position}] is neither a text nor an object with one")


def _positions(record: Record, count: int) -> tuple[int, ...]:
    value = record.get("pos_index")
    items = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in items):
        raise BadRecord("pos_index holds something that is no position")
    if outside := [i for i in items if not 0 <= i < count]:
        raise BadRecord(f"pos_index {outside} is outside the {count} docs")
    return tuple(sorted(set(items)))


def has_documents(record: Record) -> bool:
    """Whether a record is a question over a list of documents."""
    return isinstance(record.get("question"), str) and isinstance(record.get("docs"), list)


SPEC = Spec(
    name="clara",
    title="Rows of the CLaRa authors",
    citation="He et al., CLaRa: Bridging Retrieval and Generation with Continuous Latent "
    "Reasoning, 2025, arXiv 2511.18659",
    source="https://github.com/apple/ml-clara (evaluation data of the end-to-end stage)",
    version=1,
    fields={
        "question": "question", "docs": "documents: texts, or title and text",
        "pos_index": "gold positions", "golden_answers / answer": "golds, one or many",
    },
    metrics=("clara.acc", "clara.em", "clara.f1"),
    recognises=lambda record: has_documents(record) and "gold_answer" not in record,
    read=read,
)  # fmt: skip
