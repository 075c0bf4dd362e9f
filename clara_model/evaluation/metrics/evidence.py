"""Supporting facts of HotpotQA, 2WikiMultiHopQA and MuSiQue, and evidence triples of 2Wiki."""

from __future__ import annotations

import string
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)

Items = Sequence[Any]


class SetScore(NamedTuple):
    """Exact match, F1, precision and recall of a predicted collection against the gold one."""

    em: float
    f1: float
    precision: float
    recall: float


def score_hotpot_facts(prediction: Items, golds: Items) -> SetScore:
    """Facts (title, sentence number); titles are compared as they are written."""
    return _compare(list(_facts(prediction)), list(_facts(golds)))


def score_2wiki_facts(prediction: Items, golds: Items) -> SetScore:
    """Facts (title, sentence number); titles in lower case.

    Two spellings of one title stay two entries, as in the official script, which lowers the
    titles only after it has removed duplicates.
    """
    return _compare(_lower_titles(prediction), _lower_titles(golds))


def score_musique_support(prediction: Items, golds: Items) -> SetScore:
    """Paragraph numbers; nothing predicted where nothing is asked for is right."""
    found, wanted = {int(i) for i in prediction}, {int(i) for i in golds}
    if not found and not wanted:
        return SetScore(1.0, 1.0, 1.0, 1.0)
    return _compare(list(found), list(wanted))


def score_2wiki_evidence(prediction: Items, golds: Items) -> SetScore:
    """Triples (subject, relation, object); a gold is a list of equivalent triples (aliases).

    Several predicted aliases of one gold all count as found, as in the official script, so that
    recall and F1 can exceed 1.
    """
    found = {_plain_triple(triple) for triple in prediction}
    wanted = [{_plain_triple(triple) for triple in aliases} for aliases in golds]
    matches = sum(any(triple in aliases for aliases in wanted) for triple in found)
    precision = matches / len(found) if found else 0.0
    recall = matches / len(wanted) if wanted else 0.0
    em = float(matches == len(found) == len(wanted))
    return SetScore(em, harmonic(precision, recall), precision, recall)


def _facts(items: Items) -> set[tuple[Hashable, ...]]:
    return {tuple(item) for item in items}


def _lower_titles(items: Items) -> list[tuple[Hashable, ...]]:
    return [(str(title).lower(), *rest) for title, *rest in _facts(items)]


def _plain_triple(triple: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(part.lower().translate(_ASCII_PUNCTUATION).split()) for part in triple)


def _compare(found: Sequence[Hashable], wanted: Sequence[Hashable]) -> SetScore:
    right = sum(item in wanted for item in found)
    wrong = len(found) - right
    missed = sum(item not in found for item in wanted)
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / (right + missed) if right + missed else 0.0
    return SetScore(float(wrong + missed == 0), harmonic(precision, recall), precision, recall)


def harmonic(precision: float, recall: float) -> float:
    """F1 of precision and recall."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _field(
    scorer: Callable[[Items, Items], SetScore], name: str
) -> Callable[[Items, Items], float]:
    return lambda prediction, golds: float(getattr(scorer(prediction, golds), name))


def _table(
    prefix: str, scorer: Callable[[Items, Items], SetScore], fields: dict[str, str]
) -> dict[str, Callable[[Items, Items], float]]:
    return {f"{prefix}_{short}": _field(scorer, name) for short, name in fields.items()}


_ALL = {"em": "em", "f1": "f1", "prec": "precision", "recall": "recall"}

EVIDENCE_METRICS: dict[str, Callable[[Items, Items], float]] = {
    **_table("hotpot.sp", score_hotpot_facts, _ALL),
    **_table("2wiki.sp", score_2wiki_facts, _ALL),
    **_table("2wiki.evi", score_2wiki_evidence, _ALL),
    **_table("musique.support", score_musique_support, {"em": "em", "f1": "f1"}),
}
