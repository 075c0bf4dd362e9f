"""SQuAD 1.1 and 2.0, and other reading comprehension in its shape."""

from __future__ import annotations

from clara_model.evaluation.benchmarks.cmrc2018 import SPEC as CMRC2018
from clara_model.evaluation.benchmarks.sample import Record, Spec
from clara_model.evaluation.benchmarks.squad_form import is_flat_reading, read, unfold

_FIELDS = {
    "data[].paragraphs[].context": "the gold document", "data[].title": "its title",
    "qas[].question": "question", "qas[].answers[].text": "golds",
    "qas[].is_impossible": "true: right is to say nothing (SQuAD 2)",
}  # fmt: skip


def _recognises_2(record: Record) -> bool:
    return is_flat_reading(record) and "is_impossible" in record and not CMRC2018.recognises(record)


SQUAD2 = Spec(
    name="squad2",
    title="SQuAD 2.0",
    citation="Rajpurkar et al., Know What You Don't Know: Unanswerable Questions for SQuAD, "
    "ACL 2018, arXiv 1806.03822",
    source="https://rajpurkar.github.io/SQuAD-explorer (dev-v2.0.json)",
    version=1,
    fields=_FIELDS,
    metrics=("squad2.em", "squad2.f1"),
    recognises=_recognises_2,
    read=read,
    unfold=unfold,
)

SQUAD1 = Spec(
    name="squad1",
    title="SQuAD 1.1",
    citation="Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, "
    "EMNLP 2016, arXiv 1606.05250",
    source="https://rajpurkar.github.io/SQuAD-explorer (dev-v1.1.json)",
    version=1,
    fields=_FIELDS,
    metrics=("squad1.em", "squad1.f1"),
    recognises=lambda record: is_flat_reading(record) and not CMRC2018.recognises(record),
    read=read,
    unfold=unfold,
)
