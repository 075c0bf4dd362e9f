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

    @property
    def _share(self) -> Fraction:
        if self.num_world == 0:
            return Fraction(0)
        if self.num_documents == 0:
            return Fraction(1)
        return Fraction(self.world_share).limit_denominator(10_000)

    def _pick(self, position: int) -> Pick:
        # Of the first p examples, floor(p * share) are the world's: exact for any p.
        before = math.floor(position * self._share)
        is_world = math.floor((position + 1) * self._share) > before
        count = before if is_world else position - before
        rows = self.num_world if is_world else self.num_documents
        epoch, place = divmod(count, rows)
        return Pick(int(is_world), _order(rows, self.seed, int(is_world), epoch)[place])


@lru_cache(maxsize=4)
def _order(rows: int, seed: int, source: int, epoch: int) -> list[int]:
    order = list(range(rows))
    random.Random(f"{seed}/{source}/{epoch}").shuffle(order)
    return order
