"""Answer metrics of the published benchmarks and systems, as their official scripts compute them.

Each family below is one table of functions (prediction, golds) -> float. Where a script takes one
gold only, the best of the golds counts, except for `clara.*`, which reads the first alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import regex

from clara_model.evaluation.metrics.text import (
    NO_OVERLAP,
    Overlap,
    holds_run,
    normalize,
    normalize_decomposed,
    normalize_keeping_articles,
    normalize_with_regex,
    overlap,
)

AnswerMetric = Callable[[str, Sequence[str]], float]
PairMetric = Callable[[str, str], float]

_CLOSED_ANSWERS = ("yes", "no", "noanswer")
# DPR's tokens: a run of letters, digits and marks, or any other visible character alone.
_DPR_TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def best_of_golds(pair_metric: PairMetric) -> AnswerMetric:
    """Lift a metric of one prediction and one gold to the best over all golds."""

    def metric(prediction: str, golds: Sequence[str]) -> float:
        return max((float(pair_metric(prediction, gold)) for gold in golds), default=0.0)

    return metric


def first_gold(pair_metric: PairMetric) -> AnswerMetric:
    """Lift a metric of one prediction and one gold to the first gold alone."""

    def metric(prediction: str, golds: Sequence[str]) -> float:
        return float(pair_metric(prediction, golds[0])) if golds else 0.0

    return metric


def _equal(form: Callable[[str], str]) -> PairMetric:
    return lambda prediction, gold: form(prediction) == form(gold)


def _holds(form: Callable[[str], str]) -> PairMetric:
    return lambda prediction, gold: form(gold) in form(prediction)


def _words_overlap(form: Callable[[str], str]) -> Callable[[str, str], Overlap]:
    return lambda prediction, gold: overlap(form(prediction).split(), form(gold).split())


def _closed_overlap(prediction: str, gold: str) -> Overlap:
    """HotpotQA's overlap: yes, no and noanswer earn nothing unless they are the whole answer."""
    said, wanted = normalize(prediction), normalize(gold)
    if said != wanted and (said in _CLOSED_ANSWERS or wanted in _CLOSED_ANSWERS):
        return NO_OVERLAP
    return overlap(said.split(), wanted.split())


def _f1_or_both_empty(prediction: str, gold: str) -> float:
    """SQuAD 2's F1: where either side has no words, 1 if neither has."""
    said, wanted = normalize(prediction).split(), normalize(gold).split()
    if not said or not wanted:
        return float(said == wanted)
    return overlap(said, wanted).f1


def _dpr_tokens(text: str) -> list[str]:
    return [token.lower() for token in _DPR_TOKEN.findall(unicodedata.normalize("NFD", text))]


def _dpr_holds(passage: str, gold: str) -> bool:
    return holds_run(_dpr_tokens(passage), _dpr_tokens(gold))


def _spoken(text: str) -> str:
    """CLaRa's script reads the words True and False as yes and no, in exactly this spelling."""
    return {"True": "yes", "False": "no"}.get(text, text)


def _clara_covers(prediction: str, gold: str) -> bool:
    said = set(normalize(_spoken(prediction)).split())
    return said.issuperset(normalize(_spoken(gold)).split())


def _clara_equal(prediction: str, gold: str) -> bool:
    return normalize(_spoken(prediction)) == normalize(_spoken(gold))


def _clara_f1(prediction: str, gold: str) -> float:
    return _closed_overlap(_spoken(prediction), _spoken(gold)).f1


def _or_no_answer(metric: AnswerMetric) -> AnswerMetric:
    """SQuAD 2's reading of a question without golds: right is to say nothing."""
    return lambda prediction, golds: metric(prediction, golds or [""])


def _closed_family(name: str) -> dict[str, AnswerMetric]:
    return {
        f"{name}.em": best_of_golds(_equal(normalize)),
        f"{name}.f1": best_of_golds(lambda p, g: _closed_overlap(p, g).f1),
        f"{name}.prec": best_of_golds(lambda p, g: _closed_overlap(p, g).precision),
        f"{name}.recall": best_of_golds(lambda p, g: _closed_overlap(p, g).recall),
    }


_squad_overlap = _words_overlap(normalize)
_bergen_overlap = _words_overlap(normalize_with_regex)

ANSWER_METRICS: dict[str, AnswerMetric] = {
    **_closed_family("hotpot"),
    **_closed_family("2wiki"),
    "musique.em": best_of_golds(_equal(normalize)),
    "musique.f1": best_of_golds(_f1_or_both_empty),
    "squad1.em": best_of_golds(_equal(normalize)),
    "squad1.f1": best_of_golds(lambda p, g: _squad_overlap(p, g).f1),
    "squad2.em": _or_no_answer(best_of_golds(_equal(normalize))),
    "squad2.f1": _or_no_answer(best_of_golds(_f1_or_both_empty)),
    "dpr.em": best_of_golds(_equal(normalize_with_regex)),
    "dpr.has_answer": best_of_golds(_dpr_holds),
    "orqa_nq.em": best_of_golds(_equal(normalize_decomposed)),
    "kilt.em": best_of_golds(_equal(normalize)),
    "kilt.f1": best_of_golds(lambda p, g: _squad_overlap(p, g).f1),
    "kilt.has_answer": best_of_golds(_holds(normalize)),
    "bergen.match": best_of_golds(_holds(normalize_with_regex)),
    "bergen.em": best_of_golds(_equal(normalize_with_regex)),
    "bergen.f1": best_of_golds(lambda p, g: _bergen_overlap(p, g).f1),
    "bergen.recall": best_of_golds(lambda p, g: _bergen_overlap(p, g).recall),
    "flashrag.em": best_of_golds(_equal(normalize)),
    "flashrag.acc": best_of_golds(_holds(normalize)),
    "flashrag.f1": best_of_golds(lambda p, g: _closed_overlap(p, g).f1),
    "pisco.match": best_of_golds(_holds(normalize_keeping_articles)),
    "pisco.f1": best_of_golds(lambda p, g: overlap(p.split(), g.split()).f1),
    "clara.acc": first_gold(_clara_covers),
    "clara.em": first_gold(_clara_equal),
    "clara.f1": first_gold(_clara_f1),
    # The same with every accepted answer: what the paper's numbers would be, read fairly.
    "clara.acc_any": best_of_golds(_clara_covers),
    "clara.em_any": best_of_golds(_clara_equal),
    "clara.f1_any": best_of_golds(_clara_f1),
}
