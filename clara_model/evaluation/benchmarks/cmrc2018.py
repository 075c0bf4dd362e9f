"""CMRC 2018 and other Chinese reading comprehension in SQuAD's shape."""

from __future__ import annotations

from clara_model.evaluation.benchmarks.sample import Record, Spec
from clara_model.evaluation.benchmarks.scripts import is_chinese
from clara_model.evaluation.benchmarks.squad_form import is_flat_reading, read, unfold


def _recognises(record: Record) -> bool:
    question = record.get("question", record.get("query_text"))
    return is_flat_reading(record) and isinstance(question, str) and is_chinese(question)


SPEC = Spec(
    name="cmrc2018",
    title="CMRC 2018",
    citation="Cui et al., A Span-Extraction Dataset for Chinese Machine Reading Comprehension, "
    "EMNLP 2019, arXiv 1810.07366",
    source="https://github.com/ymcui/cmrc2018 (cmrc2018_dev.json)",
    version=1,
    fields={
        "data[].paragraphs[].context": "the gold document",
        "qas[].question (query_text)": "question", "qas[].answers[].text": "golds",
    },
    metrics=("cmrc2018.em", "cmrc2018.f1"),
    recognises=_recognises,
    read=read,
    unfold=unfold,
)  # fmt: skip
