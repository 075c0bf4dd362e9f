"""Which examples a step sees: computed from its number alone, so there is no state to save."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple


class Pick(NamedTuple):
    """One example: 0 for the documents' rows or 1 for the world's, and the row's number."""

    source: int
    row: int


@dataclass(frozen=True)
class Sampler:
    """Shuffled epochs over two sources, mixed evenly by share.

    Args:
        num_documents: Rows of the user's documents.
        num_world: Rows of the generated world.
        world_share: Share of the examples that come from the world, where both have rows.
        batch_size: Examples per optimizer step, over all ranks.
        seed: Decides every order.
    """

    num_documents: int
    num_world: int
    world_share: float
    batch_size: int
    seed: int

    def batch(self, step: int) -> list[Pick]:
        """The examples of one step, the first step being 0."""
        first = step * self.batch_size
        return [self._pick(position) for position in range(first, first + self.batch_size)]

    def num_steps(self, epochs: float) -> int:
        """Steps in which as many examples are seen as there are rows, times `epochs`."""
        rows = self.num_documents * (self._share < 1) + self.num_world * (self._share > 0)
        return max(math.ceil(rows * epochs / self.batch_size), 1)

    def num_rows(self, source: int) -> int:
        """Rows of a source."""
        return self.num_world if source else self.num_documents

    def before(self, source: int, step: int) -> int:
        """How many examples of a source come before a step, over all epochs."""
        return self._before(source, step * self.batch_size)

    def epoch_rows(self, source: int, epoch: int, first: int, count: int) -> list[int]:
        """Some rows of a source in the order of an epoch."""
        order = _order(self.num_rows(source), self.seed, source, epoch)
        return order[first : first + count]

    @property
    def _share(self) -> Fraction:
        if self.num_world == 0:
            return Fraction(0)
        if self.num_documents == 0:
            return Fraction(1)
        return Fraction(self.world_share).limit_denominator(10_000)

    def _before(self, source: int, position: int) -> int:
        # Of the first p examples, floor(p * share) are the world's: exact for any p.
        world = math.floor(position * self._share)
        return world if source else position - world

    def _pick(self, position: int) -> Pick:
        source = int(self._before(1, position + 1) > self._before(1, position))
        epoch, place = divmod(self._before(source, position), self.num_rows(source))
        return Pick(source, self.epoch_rows(source, epoch, place, 1)[0])


@lru_cache(maxsize=4)
def _order(rows: int, seed: int, source: int, epoch: int) -> list[int]:
    order = list(range(rows))
    random.Random(f"{seed}/{source}/{epoch}").shuffle(order)
    return order
