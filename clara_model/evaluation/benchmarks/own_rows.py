"""Our own held-out rows: benchmark/normal.jsonl and benchmark/oracle.jsonl of a workspace."""

from __future__ import annotations

from clara_model.evaluation.benchmarks.clara_rows import has_documents, read
from clara_model.evaluation.benchmarks.sample import Spec

SPEC = Spec(
    name="own",
    title="Held-out questions about the user's documents",
    citation="made by this pipeline; see the data card",
    source="benchmark/normal.jsonl and benchmark/oracle.jsonl of a workspace",
    version=1,
    fields={
        "id": "id", "question": "question", "docs": "documents", "pos_index": "gold positions",
        "gold_answer": "the main gold", "golden_answers": "further golds",
        "answerable": "false: the gold is a refusal", "provider": "extras",
    },
    metrics=("open.em", "open.f1", "open.contains"),
    recognises=lambda record: has_documents(record) and "gold_answer" in record,
    read=read,
)  # fmt: skip
