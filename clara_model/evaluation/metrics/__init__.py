"""Metrics by name: `score("hotpot.f1", prediction, golds)`.

Families: hotpot, 2wiki, musique, squad1, squad2, dpr, orqa_nq, kilt, bergen, flashrag, pisco,
clara, cmrc2018 as their official scripts compute them, and `open`, ours for any language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clara_model.errors import ConfigError
from clara_model.evaluation.metrics.answers import ANSWER_METRICS
from clara_model.evaluation.metrics.cjk import CJK_METRICS
from clara_model.evaluation.metrics.evidence import EVIDENCE_METRICS
from clara_model.evaluation.metrics.retrieval import precision_at, recall_at, reciprocal_rank

__all__ = ["METRIC_NAMES", "score"]

_METRICS: dict[str, Callable[[Any, Any], float]] = {
    **ANSWER_METRICS,
    **CJK_METRICS,
    **EVIDENCE_METRICS,
    "clara.mrr": reciprocal_rank,
}
_AT_K: dict[str, Callable[[int, Sequence[int], Sequence[int]], float]] = {
    "clara.recall": recall_at,
    "clara.precision": precision_at,
}

METRIC_NAMES = (*sorted(_METRICS), *(f"{name}@k" for name in sorted(_AT_K)))


def score(name: str, prediction: Any, golds: Sequence[Any]) -> float:
    """Score one prediction by the metric of this name.

    Args:
        name: One of `METRIC_NAMES`; `@k` stands for any number, as in "clara.recall@3".
        prediction: An answer (answer metrics), a passage (`*.has_answer`), a ranking of candidate
            positions (retrieval), facts or triples (supporting facts, evidence).
        golds: Accepted answers, gold positions, gold facts, or for `2wiki.evi_*` one list of
            equivalent triples a gold.

    Raises:
        ConfigError: If there is no such metric.
    """
    if name in _METRICS:
        return float(_METRICS[name](prediction, golds))
    family, _, k = name.partition("@")
    if family in _AT_K and k.isdecimal() and int(k) > 0:
        return float(_AT_K[family](int(k), prediction, golds))
    raise ConfigError(f"no metric {name!r}; there are: {', '.join(METRIC_NAMES)}")
