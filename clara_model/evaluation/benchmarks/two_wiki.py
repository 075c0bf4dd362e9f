"""2WikiMultiHopQA: HotpotQA's shape, with evidence triples beside the supporting facts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clara_model.errors import DataError
from clara_model.evaluation.benchmarks.hotpotqa import find_golds, read_context, read_facts
from clara_model.evaluation.benchmarks.sample import (
    Record,
    Sample,
    Spec,
    answers_of,
    id_of,
    list_of_texts,
    text_of,
)


def read(record: Record, number: int) -> Sample:
    """A question over ten paragraphs.

    The official aliases stand in a file of their own, see `add_aliases`; a record that carries
    them as `answer_aliases` is scored with them.
    """
    documents, facts = read_context(record), read_facts(record)
    golds, missing = find_golds(documents, facts)
    aliases = list_of_texts(record.get("answer_aliases") or [], "answer_aliases")
    extras: dict[str, Any] = {
        "supporting_facts": facts,
        # A gold triple is a list of equivalent ones; without aliases there is one each.
        "evidence": record.get("evidence_aliases")
        or [[list(triple)] for triple in record.get("evidences") or []],
        "answer_id": str(record.get("answer_id") or ""),
    }
    if missing:
        extras["missing_golds"] = missing
    return Sample(
        id=id_of(record, number),
        question=text_of(record, "question"),
        golds=tuple(dict.fromkeys((*answers_of(record, "answer"), *aliases))),
        documents=documents,
        gold_positions=golds,
        kind=str(record.get("type") or ""),
        extras=extras,
    )


def add_aliases(path: Path) -> Callable[[Record], Record] | None:
    """Golds by Wikidata id from an id_aliases.json beside the benchmark, as the script reads it.

    Raises:
        DataError: If that file is there, but not in its form.
    """
    beside = path.with_name("id_aliases.json")
    if not beside.is_file():
        return None
    aliases: dict[str, list[str]] = {}
    for number, line in enumerate(beside.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            aliases[entry["Q_id"]] = [*entry["aliases"], *entry["demonyms"]]
        except (ValueError, KeyError, TypeError) as err:
            raise DataError(f"{beside}:{number}: not an entry of 2Wiki's aliases ({err})") from err
    return lambda record: _enriched(record, aliases)


def _enriched(record: Record, aliases: dict[str, list[str]]) -> Record:
    """A record with the aliases of its answer, and of the ends of its evidence."""
    added = dict(record)
    if more := aliases.get(str(record.get("answer_id"))):
        added["answer_aliases"] = sorted(set(more))
    ids, triples = record.get("evidences_id") or [], record.get("evidences") or []
    if len(ids) == len(triples):
        added["evidence_aliases"] = [
            [
                [subject, triple[1], other]
                for subject in sorted({triple[0], *aliases.get(one[0], [])})
                for other in sorted({triple[2], *aliases.get(one[2], [])})
            ]
            for triple, one in zip(triples, ids, strict=True)
        ]
    return added


SPEC = Spec(
    name="2wikimultihopqa",
    title="2WikiMultiHopQA",
    citation="Ho et al., Constructing A Multi-hop QA Dataset for Comprehensive Evaluation of "
    "Reasoning Steps, COLING 2020, arXiv 2011.01060",
    source="https://github.com/Alab-NII/2wikimultihop (dev.json; aliases: id_aliases.json)",
    version=1,
    fields={
        "_id": "id", "question": "question", "answer": "the gold",
        "answer_aliases": "further golds, where the aliases were merged in",
        "context": "documents: [title, sentences]",
        "supporting_facts": "gold documents by title; kept in extras",
        "evidences": "triples; extras", "answer_id": "extras",
        "type": "kind: compositional, comparison, bridge_comparison or inference",
    },
    metrics=("2wiki.em", "2wiki.f1", "2wiki.prec", "2wiki.recall"),
    fact_metrics=(
        "2wiki.sp_em", "2wiki.sp_f1", "2wiki.sp_prec", "2wiki.sp_recall",
        "2wiki.evi_em", "2wiki.evi_f1", "2wiki.evi_prec", "2wiki.evi_recall",
    ),
    recognises=lambda record: "question" in record and "evidences" in record,
    read=read,
    companion=add_aliases,
)  # fmt: skip
