"""Benchmarks: original files of others, and our own rows, as one kind of sample.

`load_benchmark(name_or_path)` reads a file, `build_setting` gives each question its candidates,
`score_answer` computes the official metrics and, beside them, the paper's and the fairer ones.
"""

from clara_model.evaluation.benchmarks.candidates import (
    SETTINGS,
    Asked,
    Audit,
    audit_golds,
    build_setting,
)
from clara_model.evaluation.benchmarks.pool import (
    Pool,
    Retrieve,
    bm25,
    by_retriever,
    pool_folder,
    pool_samples,
)
from clara_model.evaluation.benchmarks.registry import SPECS, load_benchmark, recognise
from clara_model.evaluation.benchmarks.sample import (
    BadRecord,
    Document,
    LoadedBenchmark,
    Sample,
    SetAside,
    Spec,
)
from clara_model.evaluation.benchmarks.scoring import answer_metrics, is_scored, score_answer

__all__ = [
    "SETTINGS",
    "SPECS",
    "Asked",
    "Audit",
    "BadRecord",
    "Document",
    "LoadedBenchmark",
    "Pool",
    "Retrieve",
    "Sample",
    "SetAside",
    "Spec",
    "answer_metrics",
    "audit_golds",
    "bm25",
    "build_setting",
    "by_retriever",
    "is_scored",
    "load_benchmark",
    "pool_folder",
    "pool_samples",
    "recognise",
    "score_answer",
]
