"""How sure a mean over questions is, and whether two systems differ: resampling, seeded."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

_CELLS = 4_000_000  # resampled values held at once: about 32 MB


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, over `n` questions."""

    n: int
    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Two systems on the same `n` questions: first minus second, its interval, and a test.

    `shown` is true only if the interval leaves out 0 and the test agrees.
    """

    n: int
    difference: float
    low: float
    high: float
    p_value: float
    shown: bool

    @property
    def verdict(self) -> str:
        """The outcome in words, for a report."""
        if not self.shown:
            return "no difference shown"
        return "the first is higher" if self.difference > 0 else "the second is higher"


def bootstrap_mean(
    values: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of per-question values with its percentile bootstrap interval.

    Args:
        values: One value a question; at least one.
        clusters: What each question belongs to (a source document, an entity): whole clusters
            are drawn then, since questions of one are not independent.
        samples: Resamples drawn with replacement.
        confidence: Share of the resampled means inside the interval.
        seed: The same values, samples and seed give the same interval.

    Raises:
        ValueError: If there are no values, or not one cluster a value.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    sums, counts = _by_cluster(values, clusters)
    means = np.concatenate(list(_resampled_means(sums, counts, samples, seed)))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return Interval(len(values), float(sums.sum() / counts.sum()), float(low), float(high))


def compare_paired(
    first: Sequence[float],
    second: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Whether one system scores higher than another on the same questions.

    The interval is the bootstrap's over the differences; the p-value is a permutation test's:
    under "no difference" each question's (or cluster's) two results could be swapped.

    Args:
        first: Values of one system, a question each.
        second: Values of the other, for the same questions in the same order.
        clusters: See `bootstrap_mean`; whole clusters are swapped then.
        samples: Resamples, and permutations.
        confidence: A difference is shown if p is below 1 - confidence.
        seed: The same input and seed give the same answer.

    Raises:
        ValueError: If the systems were not asked the same number of questions, or none.

    Source:
        Good, Permutation Tests (2000), chapter 3; the plus one is Phipson and Smyth's (2010).
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}: not the same questions")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    interval = bootstrap_mean(
        differences.tolist(), clusters=clusters, samples=samples, confidence=confidence, seed=seed
    )
    sums, _ = _by_cluster(differences.tolist(), clusters)
    p_value = _swap_test(sums, samples, seed)
    shown = p_value < 1.0 - confidence and (interval.low > 0 or interval.high < 0)
    return Comparison(interval.n, interval.value, interval.low, interval.high, p_value, shown)


def _by_cluster(
    values: Sequence[float], clusters: Sequence[Hashable] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values of each cluster; each value is its own where none are given."""
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise ValueError("no values: a mean over no questions has no interval")
    if clusters is None:
        return data, np.ones(len(data))
    if len(clusters) != len(data):
        raise ValueError(f"{len(data)} values but {len(clusters)} clusters; one a value is needed")
    number = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    place = np.array([number[cluster] for cluster in clusters])
    return np.bincount(place, weights=data), np.bincount(place).astype(np.float64)


def _resampled_means(
    sums: np.ndarray, counts: np.ndarray, samples: int, seed: int
) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // len(sums))
    for start in range(0, samples, step):
        drawn = rng.integers(len(sums), size=(min(step, samples - start), len(sums)))
        yield sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)


def _swap_test(sums: np.ndarray, samples: int, seed: int) -> float:
    """Two-sided p-value: how often swapped signs give a sum at least as far from 0."""
    rng = np.random.default_rng(seed)
    seen = abs(float(sums.sum()))
    # A sum that differs by rounding alone is as far.
    limit = seen - 1e-9 * max(1.0, float(np.abs(sums).sum()))
    step = max(1, _CELLS // len(sums))
    as_far = 0
    for start in range(0, samples, step):
        signs = rng.integers(2, size=(min(step, samples - start), len(sums))) * 2 - 1
        as_far += int((np.abs(signs @ sums) >= limit).sum())
    return (1 + as_far) / (1 + samples)
