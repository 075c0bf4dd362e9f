"""Scores of a ranking of candidates against the positions of the gold ones."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

RECALL_AT = (1, 3, 5, 10)


def recall_at(k: int, ranking: Sequence[int], golds: Sequence[int]) -> float:
    """Share of the gold candidates among the first `k` of the ranking; 0 without golds."""
    wanted = set(golds)
    return len(wanted & set(ranking[:k])) / len(wanted) if wanted else 0.0


def precision_at(k: int, ranking: Sequence[int], golds: Sequence[int]) -> float:
    """Gold candidates among the first `k` of the ranking, divided by `k`."""
    return len(set(golds) & set(ranking[:k])) / k


def reciprocal_rank(ranking: Sequence[int], golds: Sequence[int]) -> float:
    """One over the place (from 1) of the first gold candidate; 0 if none is ranked."""
    wanted = set(golds)
    for place, candidate in enumerate(ranking, start=1):
        if candidate in wanted:
            return 1.0 / place
    return 0.0


def ndcg_at(k: int, ranking: Sequence[int], golds: Sequence[int]) -> float:
    """Discounted gain of the golds among the first `k`, over that of the best order.

    Source: Järvelin and Kekäläinen (2002), binary relevance, discount log2(place + 1).
    """
    wanted = set(golds)
    best = sum(1.0 / log2(place + 1) for place in range(1, min(k, len(wanted)) + 1))
    order = list(dict.fromkeys(ranking))[:k]  # a candidate named twice is found once
    gain = sum(1.0 / log2(place + 1) for place, one in enumerate(order, 1) if one in wanted)
    return gain / best if wanted else 0.0


def all_found_at(k: int, ranking: Sequence[int], golds: Sequence[int]) -> float:
    """1 if every gold candidate is among the first `k`, as multi-hop questions need; else 0."""
    wanted = set(golds)
    return float(bool(wanted) and wanted <= set(ranking[:k]))


def ranking_scores(ranking: Sequence[int], golds: Sequence[int], k: int = 5) -> dict[str, float]:
    """What is reported of one ranking: recall, MRR, nDCG, and whether `k` hold all golds."""
    scores = {f"recall@{at}": recall_at(at, ranking, golds) for at in RECALL_AT}
    scores["mrr"] = reciprocal_rank(ranking, golds)
    scores["ndcg@10"] = ndcg_at(10, ranking, golds)
    scores[f"all_found@{k}"] = all_found_at(k, ranking, golds)
    return scores


def chance_recall_at(k: int, num_candidates: int) -> float:
    """Expected recall at `k` of a ranking drawn at random: k / N, whatever the number of golds."""
    return min(k, num_candidates) / num_candidates if num_candidates else 0.0


def chance_reciprocal_rank(num_candidates: int, num_golds: int) -> float:
    """Expected reciprocal rank of a random order of N candidates with g golds among them.

    The first gold stands at place r if the r - 1 before it are drawn from the others:
    P(first at r) = g / (N - r + 1) x product over j < r of (1 - g / (N - j + 1)).
    """
    expected, none_yet = 0.0, 1.0
    for place in range(1, num_candidates + 1):
        here = min(1.0, num_golds / (num_candidates - place + 1))
        expected += none_yet * here / place
        none_yet *= 1.0 - here
    return expected
