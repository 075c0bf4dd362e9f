"""Batches of examples of like length: shuffled epochs, little padding, and no state to save."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

from clara_model.training.sampler import Pick, Sampler

WINDOW_STEPS = 50  # a longer window pads less and shuffles less
# Lengths are blurred by this share, or the same examples would meet again in every epoch.
_BLUR = 0.05


class Cost(NamedTuple):
    """Tokens of one example: all its documents for the compressor, and the generator's part."""

    compressor: float
    generator: float


class GroupedSampler:
    """Cuts a sampler's shuffled epochs anew, so that a batch holds examples of like length.

    An epoch is divided into windows of steps. The examples of a window are shared out among its
    steps by length, and which step gets the long ones is drawn. An epoch holds each row once, and
    each step as many of either source as the sampler's own. A step is still a function of its
    number.

    Args:
        sampler: Whose epochs, shares and seed to use.
        costs: Of some rows of a source (0 or 1), asked for when their window comes.
        num_steps: Steps of the training; the last window ends with them.
        window: Steps that are shared out together, about.
    """

    def __init__(
        self,
        sampler: Sampler,
        costs: Callable[[int, list[int]], list[Cost]],
        num_steps: int,
        window: int = WINDOW_STEPS,
    ) -> None:
        self._sampler, self._costs = sampler, costs
        self._num_steps, self._window = num_steps, window
        self._shares = lru_cache(maxsize=8)(self._share_out)

    def batch(self, step: int) -> list[Pick]:
        """The examples of one step, the first step being 0."""
        picks = []
        for source in (0, 1):
            first, end = (self._sampler.before(source, s) for s in (step, step + 1))
            rows = self._sampler.num_rows(source)
            for epoch in range(first // rows, (end - 1) // rows + 1) if first < end else ():
                steps = self._steps(source, epoch, step)
                share = self._shares(source, epoch, steps)[step - steps.start]
                picks += [Pick(source, row) for row in share]
        return picks

    def _steps(self, source: int, epoch: int, step: int) -> range:
        """The window of steps, within an epoch of a source, to which a step belongs."""
        rows = self._sampler.num_rows(source)
        before = partial(self._sampler.before, source)
        steps = range(self._num_steps)
        first = bisect_right(steps, epoch * rows, key=lambda s: before(s + 1))
        count = bisect_left(steps, (epoch + 1) * rows, key=before) - first
        windows = max(round(count / self._window), 1)
        number = (step - first) * windows // count
        start, end = (first - (-n * count // windows) for n in (number, number + 1))
        return range(start, end)

    def _share_out(self, source: int, epoch: int, steps: range) -> list[list[int]]:
        """The rows of an epoch of a source for each step of a window."""
        sampler, rows = self._sampler, self._sampler.num_rows(source)
        borders = [
            min(max(sampler.before(source, step), epoch * rows), (epoch + 1) * rows)
            for step in range(steps.start, steps.stop + 1)
        ]
        sizes = [end - first for first, end in pairwise(borders)]
        chosen = sampler.epoch_rows(source, epoch, borders[0] - epoch * rows, sum(sizes))
        draw = random.Random(f"{sampler.seed}/lengths/{source}/{epoch}/{steps.start}")
        costs = {
            row: Cost(*(length * draw.uniform(1, 1 + _BLUR) for length in cost))
            for row, cost in zip(chosen, self._costs(source, chosen), strict=True)
        }
        # A step's rank is the same for both sources: the long examples of either come together.
        ranks = [random.Random(f"{sampler.seed}/lengths/{step}").random() for step in steps]
        return _assign(_cut(chosen, sizes, costs), ranks, costs)


def padding_share(batches: list[list[Cost]]) -> float:
    """Share of padding among all tokens, if each batch is computed at once."""
    tokens = sum(sum(cost) for batch in batches for cost in batch)
    computed = sum(len(batch) * sum(map(max, zip(*batch, strict=True))) for batch in batches)
    return 1 - tokens / max(computed, 1.0)


def _cut(rows: list[int], sizes: list[int], costs: dict[int, Cost]) -> list[list[int]]:
    """Cut rows into parts of the given sizes that need little padding.

    Halved again and again, each time by the length whose order leaves less to compute.
    """
    if len(sizes) == 1:
        return [rows]
    middle = len(sizes) // 2
    border = sum(sizes[:middle])
    orders = [sorted(rows, key=lambda row, by=by: costs[row][by]) for by in (0, 1)]  # type: ignore[misc]
    best = min(orders, key=lambda o: _padded(o[:border], costs) + _padded(o[border:], costs))
    return [
        *_cut(best[:border], sizes[:middle], costs),
        *_cut(best[border:], sizes[middle:], costs),
    ]


def _padded(rows: list[int], costs: dict[int, Cost]) -> float:
    """Tokens to compute if these rows were one batch."""
    return len(rows) * sum(max((costs[row][by] for row in rows), default=0.0) for by in (0, 1))


def _assign(parts: list[list[int]], ranks: list[float], costs: dict[int, Cost]) -> list[list[int]]:
    """Give each step a part of its size: the higher its rank, the longer its rows."""
    result = list(parts)
    for size in {len(part) for part in parts}:
        steps = [step for step, part in enumerate(parts) if len(part) == size]
        by_length = sorted((parts[step] for step in steps), key=lambda part: _mean(part, costs))
        for step, part in zip(sorted(steps, key=ranks.__getitem__), by_length, strict=True):
            result[step] = part
    return result


def _mean(rows: list[int], costs: dict[int, Cost]) -> float:
    return sum(sum(costs[row]) for row in rows) / max(len(rows), 1)
