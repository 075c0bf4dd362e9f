"""Metrics by name: `score("hotpot.f1", prediction, golds)`.

Families: hotpot, 2wiki, musique, squad1, squad2, dpr, orqa_nq, kilt, bergen, flashrag, pisco,
clara, cmrc2018 as their official scripts compute them; `open`, ours for any language; and
`reconstruction`, for texts regenerated from a memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clara_model.errors import ConfigError
from clara_model.evaluation.metrics.answers import ANSWER_METRICS
from clara_model.evaluation.metrics.cjk import CJK_METRICS
from clara_model.evaluation.metrics.evidence import EVIDENCE_METRICS
from clara_model.evaluation.metrics.joint import JOINT_METRICS
from clara_model.evaluation.metrics.reconstruction import RECONSTRUCTION_METRICS
from clara_model.evaluation.metrics.refusal import REFUSAL_METRICS
from clara_model.evaluation.metrics.retrieval import (
    all_found_at,
    ndcg_at,
    precision_at,
    recall_at,
    reciprocal_rank,
)

__all__ = ["METRIC_NAMES", "score"]

_TEXT_METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {
    **ANSWER_METRICS,
    **CJK_METRICS,
    **RECONSTRUCTION_METRICS,
    **REFUSAL_METRICS,
}

_LIST_METRICS: dict[str, Callable[[Any, Any], float]] = {
    **EVIDENCE_METRICS,
    **JOINT_METRICS,
    "clara.mrr": reciprocal_rank,
}
_AT_K: dict[str, Callable[[int, Sequence[int], Sequence[int]], float]] = {
    "clara.recall": recall_at,
    "clara.precision": precision_at,
    "clara.ndcg": ndcg_at,
    "clara.all_found": all_found_at,
}

METRIC_NAMES = (*sorted((*_TEXT_METRICS, *_LIST_METRICS)), *(f"{name}@k" for name in sorted(_AT_K)))


def score(name: str, prediction: Any, golds: Any) -> float:
    """Score one prediction by the metric of this name.

    Answers that are numbers are read as their text, a missing answer as the empty one, and a
    single gold as a list of one. Without golds the score is 0 (for SQuAD 2: whether nothing was
    answered).

    Args:
        name: One of `METRIC_NAMES`; `@k` stands for any number, as in "clara.recall@3".
        prediction: An answer (answer metrics), a passage (`*.has_answer`), a ranking of candidate
            positions (retrieval), facts or triples (supporting facts, evidence), or an object of
            `answer`, `sp` and, in 2Wiki, `evi` (`*.joint_*`).
        golds: Accepted answers, gold positions, gold facts, for `2wiki.evi_*` one list of
            equivalent triples a gold, or for `*.joint_*` an object of these.

    Raises:
        ConfigError: If there is no such metric.
    """
    if name in _TEXT_METRICS:
        return float(_TEXT_METRICS[name](_text(prediction), _texts(golds)))
    if name in _LIST_METRICS:
        return float(_LIST_METRICS[name](prediction or [], golds or []))
    family, _, k = name.partition("@")
    if family in _AT_K and k.isdecimal() and int(k) > 0:
        return float(_AT_K[family](int(k), prediction or [], golds or []))
    raise ConfigError(f"no metric {name!r}; there are: {', '.join(METRIC_NAMES)}")


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _texts(golds: Any) -> list[str]:
    if golds is None:
        return []
    if isinstance(golds, (str, int, float)):
        return [str(golds)]
    return [_text(gold) for gold in golds]
