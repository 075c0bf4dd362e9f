"""HotpotQA, distractor and fullwiki form; also the shape that 2WikiMultiHopQA took over."""

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


def read(record: Record, number: int) -> Sample:
    """A question over ten paragraphs (distractor), or over the ten that were retrieved (fullwiki).

    In the fullwiki form gold paragraphs may be missing: `extras["missing_golds"]` names them.
    """
    documents, facts = read_context(record), read_facts(record)
    golds, missing = find_golds(documents, facts)
    extras: dict[str, Any] = {"supporting_facts": facts, "level": str(record.get("level", ""))}
    if missing:
        extras["missing_golds"] = missing
    return Sample(
        id=id_of(record, number),
        question=text_of(record, "question"),
        golds=answers_of(record, "answer"),
        documents=documents,
        gold_positions=golds,
        kind=str(record.get("type") or ""),
        extras=extras,
    )


def read_context(record: Record) -> tuple[Document, ...]:
    """Paragraphs given as [title, sentences] pairs, or as columns (the hub's form)."""
    context = record.get("context")
    if isinstance(context, dict):
        titles = context.get("title")
        texts = context.get("sentences", context.get("content"))
        if not isinstance(titles, list) or not isinstance(texts, list):
            raise BadRecord("context has no lists title and sentences")
        if len(titles) != len(texts):
            raise BadRecord(f"context has {len(titles)} titles but {len(texts)} paragraphs")
        context = list(zip(titles, texts, strict=True))
    if not isinstance(context, list) or not context:
        raise BadRecord("context is missing or empty")
    return tuple(_paragraph(item) for item in context)


def read_facts(record: Record) -> list[list[Any]]:
    """Supporting facts as [title, sentence number]."""
    facts = record.get("supporting_facts")
    if isinstance(facts, dict):
        columns = facts.get("title"), facts.get("sent_id")
        if not all(isinstance(column, list) for column in columns):
            raise BadRecord("supporting_facts has no lists title and sent_id")
        facts = [list(pair) for pair in zip(*columns, strict=False)]  # type: ignore[arg-type]
    if not isinstance(facts, list) or not facts:
        raise BadRecord("supporting_facts is missing or empty: golds are unknown")
    if not all(isinstance(f, list) and len(f) == 2 and isinstance(f[0], str) for f in facts):
        raise BadRecord("supporting_facts are not [title, sentence number] pairs")
    return facts


def find_golds(
    documents: tuple[Document, ...], facts: list[list[Any]]
) -> tuple[tuple[int, ...], list[str]]:
    """Positions of the paragraphs that the facts name, and titles that are not there.

    Of several paragraphs with one title the first is gold, as sentence numbers count in it.
    """
    place: dict[str, int] = {}
    for i, document in enumerate(documents):
        place.setdefault(document.title, i)
    titles = list(dict.fromkeys(title for title, _ in facts))
    found = tuple(sorted(place[title] for title in titles if title in place))
    return found, [title for title in titles if title not in place]


def _paragraph(item: Any) -> Document:
    if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], str):
        raise BadRecord("context holds something that is no [title, sentences] pair")
    title, text = item
    if isinstance(text, list):
        if not all(isinstance(sentence, str) for sentence in text):
            raise BadRecord(f"context: the sentences of {title!r} are not texts")
        text = " ".join(sentence.strip() for sentence in text)
    if not isinstance(text, str):
        raise BadRecord(f"context: the paragraph {title!r} is no text")
    return Document(title, text.strip())


def _recognises(record: Record) -> bool:
    has_shape = "question" in record and "supporting_facts" in record and "context" in record
    return has_shape and "evidences" not in record


SPEC = Spec(
    name="hotpotqa",
    title="HotpotQA",
    citation="Yang et al., HotpotQA: A Dataset for Diverse, Explainable Multi-hop Question "
    "Answering, EMNLP 2018, arXiv 1809.09600",
    source="https://hotpotqa.github.io (hotpot_dev_distractor_v1.json, "
    "hotpot_dev_fullwiki_v1.json)",
    version=1,
    fields={
        "_id": "id", "question": "question", "answer": "the one gold",
        "context": "documents: [title, sentences]",
        "supporting_facts": "gold documents by title; kept in extras",
        "type": "kind: bridge or comparison", "level": "extras",
    },
    metrics=("hotpot.em", "hotpot.f1", "hotpot.prec", "hotpot.recall"),
    fact_metrics=("hotpot.sp_em", "hotpot.sp_f1", "hotpot.sp_prec", "hotpot.sp_recall"),
    recognises=_recognises,
    read=read,
)  # fmt: skip
