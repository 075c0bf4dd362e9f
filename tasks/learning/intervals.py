"""Means and ratios over questions, with intervals that know which questions belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from clara_model.evaluation.bootstrap import bootstrap_mean

# Questions about one crowd of documents share its memories, and fail together.
Groups = Sequence[Hashable]


def mean_interval(values: Sequence[float], groups: Groups, samples: int) -> dict[str, Any]:
    """Mean over questions with its 95 % interval; whole groups are resampled.

    Args:
        values: One a question.
        groups: Which group each question belongs to. Groups of unlike size are not resampled as
            wholes, as their means would not count alike: then single questions are.
        samples: Resamples.
    """
    found = bootstrap_mean(_group_means(values, groups), samples=samples)
    return {"n": len(values), "value": float(np.mean(values)), "low": found.low, "high": found.high}


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], groups: Groups, samples: int
) -> dict[str, Any] | None:
    """Ratio of two means over the same questions, with its 95 % interval.

    None where the second mean is 0.
    """
    over = np.asarray(_group_means(numerators, groups))
    under = np.asarray(_group_means(denominators, groups))
    if not under.sum():
        return None
    picks = np.random.default_rng(0).integers(len(over), size=(samples, len(over)))
    sums = under[picks].sum(axis=1)
    ratios = over[picks].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    value = float(np.mean(numerators) / np.mean(denominators))
    return {"n": len(numerators), "value": value, "low": float(low), "high": float(high)}


def _group_means(values: Sequence[float], groups: Groups) -> list[float]:
    grouped: dict[Hashable, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        grouped[group].append(value)
    if len({len(own) for own in grouped.values()}) != 1:
        return list(values)
    return [float(np.mean(own)) for own in grouped.values()]
