"""Joint metrics of HotpotQA and 2WikiMultiHopQA: answer, supporting facts and, in 2Wiki, evidence.

They need facts that a system names by itself, sentence by sentence. No system here names any, so no
report carries them; they are here for predictions that do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from clara_model.evaluation.metrics.answers import ANSWER_METRICS
from clara_model.evaluation.metrics.evidence import EVIDENCE_METRICS, harmonic

Given = Mapping[str, Any]

# What each script multiplies, beside the answer: field of prediction and golds, prefix of metrics.
_PARTS = {"hotpot": ("sp",), "2wiki": ("sp", "evi")}


def _product(family: str, field: str, prediction: Given, golds: Given) -> float:
    """Product of one field over answer, facts and evidence; 0 where the prediction lacks a part."""
    parts = _PARTS[family]
    if any(part not in prediction for part in ("answer", *parts)):
        return 0.0
    wanted = golds["answer"]
    answers = [wanted] if isinstance(wanted, str) else list(wanted)
    value = float(ANSWER_METRICS[f"{family}.{field}"](str(prediction["answer"]), answers))
    for part in parts:
        metric = EVIDENCE_METRICS[f"{family}.{part}_{field}"]
        value *= float(metric(prediction[part], golds[part]))
    return value


def _f1(family: str, prediction: Given, golds: Given) -> float:
    """Harmonic mean of joint precision and recall, not the product of the F1s."""
    return harmonic(*(_product(family, field, prediction, golds) for field in ("prec", "recall")))


JOINT_METRICS: Mapping[str, Callable[[Given, Given], float]] = {
    f"{family}.joint_{field}": partial(_product, family, field)
    for family in _PARTS
    for field in ("em", "prec", "recall")
} | {f"{family}.joint_f1": partial(_f1, family) for family in _PARTS}
