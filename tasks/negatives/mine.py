"""Hard negatives for a question: rank, mask what may be right, pick, arrange; all pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from tasks.negatives.answers import answer_test
from tasks.negatives.pool import PassagePool

# Found by no strategy: drawn because the strategies found too few.
COMPLETION = "completion"


class Ranking(Protocol):
    """How one strategy sees the passages for one question."""

    def order(self) -> Iterable[int]:
        """Pool positions, hardest first."""
        ...

    def score(self, position: int) -> float:
        """The strategy's score of a passage, higher is closer; 0 says nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A question whose negatives are looked for.

    Args:
        question: The question.
        answer: Its answer; None where no passage holds one.
        golds: Pool positions of the passages it was asked about.
        seed: Decides what is drawn at random for it.
    """

    question: str
    answer: str | None
    golds: tuple[int, ...]
    seed: str


@dataclass(frozen=True, slots=True)
class Picked:
    """Negatives of one question, hardest first, and which strategy found each."""

    positions: tuple[int, ...] = ()
    found_by: tuple[str, ...] = ()

    @property
    def completed(self) -> int:
        """How many were drawn at random because too few were found."""
        return self.found_by.count(COMPLETION)


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a passage is too close to a positive to be a negative.

    Args:
        near_duplicate: Jaccard overlap of terms from which two passages say the same, in (0, 1].
        max_relative_score: Share of the best positive's score, by the strategy's own scores.
    """

    near_duplicate: float = 0.8
    max_relative_score: float = 0.95


def mine_negatives(
    pool: PassagePool,
    asked: Asked,
    rankings: Mapping[str, Ranking],
    quotas: Mapping[str, int],
    limits: Limits,
    barred: Collection[int] = (),
) -> Picked:
    """Find passages that look like an answer to the question and are none.

    Never taken, by whichever strategy: what `mask_positives` masks, and what any ranking scores
    above `max_relative_score` of the best positive's score. Where a strategy finds fewer than its
    quota, any passages complete it in random order; where those do not suffice either, fewer are
    returned.

    Args:
        pool: The passages to choose from.
        asked: The question.
        rankings: By strategy; "random" and "same_document" need none.
        quotas: Negatives wanted of each strategy.
        limits: What is too close.
        barred: Pool positions that are known not to be negatives.
    """
    rng = random.Random(asked.seed)
    is_new = mask_positives(pool, asked, limits.near_duplicate)
    is_close = relative_test(rankings.values(), asked.golds, limits.max_relative_score)
    known: dict[int, bool] = {}

    def is_negative(position: int) -> bool:
        if position not in known:
            known[position] = position not in barred and is_new(position) and not is_close(position)
        return known[position]

    taken: dict[int, str] = {}
    places: dict[int, float] = {}
    for strategy, quota in quotas.items():
        if strategy == "random":
            order: Iterable[int] = random_order(len(pool), rng)
        elif strategy == "same_document":
            order = pool.neighbours(asked.golds)
        else:
            order = rankings[strategy].order()
        for place, position in enumerate(_first(quota, order, is_negative, taken)):
            taken[position] = strategy
            places[position] = (place + 0.5) / quota
    # The strategies' finds are interleaved, so that the first few show the same mix.
    hard = sorted(taken, key=lambda position: places[position])
    missing = sum(quotas.values()) - len(hard)
    drawn = list(_first(missing, random_order(len(pool), rng), is_negative, taken))
    return Picked((*hard, *drawn), (*(taken[p] for p in hard), *(COMPLETION for _ in drawn)))


def mask_positives(pool: PassagePool, asked: Asked, near_duplicate: float) -> Callable[[int], bool]:
    """A test of pool positions: can this passage be a negative of the question?

    It is none if the question was asked about it, if its terms overlap with such a passage's by
    `near_duplicate` or more (Jaccard), or if it holds the answer (`answer_test` has the rule for
    short and closed answers).
    """
    holds = answer_test(asked.question, asked.answer) if asked.answer is not None else None
    golds = [pool.index.terms(position) for position in asked.golds]

    def is_negative(position: int) -> bool:
        if position in asked.golds:
            return False
        if holds and holds(pool.plain[position], pool.texts[position]):
            return False
        terms = pool.index.terms(position)
        return all(jaccard(terms, gold) < near_duplicate for gold in golds)

    return is_negative


def relative_test(
    rankings: Iterable[Ranking], golds: Sequence[int], share: float
) -> Callable[[int], bool]:
    """A test of pool positions: does a ranking score this one above `share` of the best gold's?

    A ranking that sees nothing in the golds (a score of 0 or less: BM25, where question and passage
    are in two languages) cannot tell, and is not asked.
    """
    bars = [(ranking, max(map(ranking.score, golds), default=0.0)) for ranking in rankings]
    asked = [(ranking, share * best) for ranking, best in bars if best > 0]
    return lambda position: any(ranking.score(position) > bar for ranking, bar in asked)


def share_out(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that sum to `count`, by largest remainder; strategies without one left out."""
    total = sum(shares.values())
    exact = {name: count * share / total for name, share in shares.items() if share > 0}
    quotas = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: quotas[name] - exact[name])
    for name in by_remainder[: count - sum(quotas.values())]:
        quotas[name] += 1
    return {name: quota for name, quota in quotas.items() if quota}


def arrange(candidates: Sequence[int], seed: str) -> tuple[int, ...]:
    """The candidates in a random order that the seed decides."""
    return tuple(random.Random(seed).sample(candidates, len(candidates)))


def random_order(number: int, rng: random.Random) -> Iterator[int]:
    """A random order of the numbers below `number`, drawn no further than it is read."""
    moved: dict[int, int] = {}
    for start in range(number):
        place = rng.randrange(start, number)
        yield moved.get(place, place)
        moved[place] = moved.get(start, start)


def jaccard(first: AbstractSet[int], second: AbstractSet[int]) -> float:
    """Shared share of two sets of terms: 0 apart, 1 equal; two empty sets share nothing."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared) if shared else 0.0


def _first(
    count: int, order: Iterable[int], is_wanted: Callable[[int], bool], taken: Collection[int]
) -> list[int]:
    """The first `count` wanted places of an order that are not taken yet."""
    found: list[int] = []
    if count:
        for position in order:
            if position not in taken and is_wanted(position):
                found.append(position)
                if len(found) == count:
                    break
    return found
