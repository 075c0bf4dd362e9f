"""How sure a mean over questions is: percentile bootstrap, seeded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_CELLS = 4_000_000  # resampled values held at once: about 32 MB


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, over `n` questions."""

    n: int
    value: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float], *, samples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of per-question values with its percentile bootstrap interval.

    The difference of two systems on the same questions is a paired test when `values` are the
    differences question by question.

    Args:
        values: One value a question; at least one.
        samples: Resamples drawn with replacement.
        confidence: Share of the resampled means inside the interval.
        seed: The same values, samples and seed give the same interval.

    Raises:
        ValueError: If there are no values.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    if not len(values):
        raise ValueError("no values: a mean over no questions has no interval")
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // len(data))
    means = np.concatenate(
        [
            data[rng.integers(len(data), size=(min(step, samples - start), len(data)))].mean(axis=1)
            for start in range(0, samples, step)
        ]
    )
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return Interval(len(data), float(data.mean()), float(low), float(high))
