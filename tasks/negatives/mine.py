"""Hard negatives for a question: score, mask what may be right, pick, arrange; all pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice

import numpy as np

from clara_model.retrieval import Bm25Index, search_tokens
from tasks.negatives.answers import answer_test, plain_text


@dataclass(frozen=True, slots=True)
class Picked:
    """Negatives of one question, hardest first; the last `completed` were drawn at random."""

    positions: tuple[int, ...]
    completed: int


@dataclass(frozen=True, slots=True)
class Arranged:
    """Candidates in the order shown: pool positions, and where among them the positives are."""

    positions: tuple[int, ...]
    pos_index: tuple[int, ...]


class PassagePool:
    """Passages that may become candidates, each text once, with what mining asks of them.

    Two passages of the same plain text share one place, so no row can hold a text twice.
    """

    def __init__(self, passages: Iterable[tuple[str, str]]) -> None:
        """Take (id, text) pairs; positions follow their order."""
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.plain: list[str] = []
        self.terms: list[frozenset[str]] = []
        self._position: dict[str, int] = {}
        by_plain: dict[str, int] = {}
        for passage_id, text in passages:
            plain = plain_text(text)
            # A text of signs alone has no plain form: it is told apart as it stands.
            key = plain if plain.strip() else text
            self._position[passage_id] = by_plain.setdefault(key, len(self.ids))
            if by_plain[key] == len(self.ids):
                self.ids.append(passage_id)
                self.texts.append(text)
                self.plain.append(plain)
                self.terms.append(frozenset(search_tokens(text)))
        self.index = Bm25Index(self.texts)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, passage_id: str) -> bool:
        return passage_id in self._position

    def position(self, passage_id: str) -> int:
        """Where a passage is, or the one whose text it repeats."""
        return self._position[passage_id]


def mine_negatives(
    pool: PassagePool,
    question: str,
    answer: str,
    positives: Sequence[int],
    *,
    count: int,
    near_duplicate: float,
    rng: random.Random,
) -> Picked:
    """Find passages that look like an answer to the question and are none.

    Never taken: a positive, a passage whose terms overlap with a positive's by `near_duplicate` or
    more (Jaccard), a passage that holds the answer (`answer_test` has the rule for short and closed
    answers). Where BM25 finds fewer than `count`, passages that share no term with the question
    complete them in random order; where those do not suffice either, fewer are returned.

    Args:
        pool: The passages to choose from.
        question: Scored against every passage.
        answer: The gold answer.
        positives: Pool positions of the passages that answer the question.
        count: Negatives wanted.
        near_duplicate: Jaccard overlap of terms from which two passages say the same, in (0, 1].
        rng: Draws the completion.
    """
    scores = pool.index.scores(question)
    is_negative = mask_positives(pool, question, answer, positives, near_duplicate)
    return pick_negatives(scores, is_negative, count, rng)


def mask_positives(
    pool: PassagePool,
    question: str,
    answer: str,
    positives: Sequence[int],
    near_duplicate: float,
) -> Callable[[int], bool]:
    """A test of pool positions: can this passage be a negative of the question?"""
    holds = answer_test(question, answer)
    known = frozenset(positives)
    golds = [pool.terms[p] for p in known]

    def is_negative(position: int) -> bool:
        if position in known or holds(pool.plain[position], pool.terms[position]):
            return False
        return all(jaccard(pool.terms[position], gold) < near_duplicate for gold in golds)

    return is_negative


def pick_negatives(
    scores: np.ndarray, is_negative: Callable[[int], bool], count: int, rng: random.Random
) -> Picked:
    """The best-scored negatives, completed at random from those that score nothing.

    Args:
        scores: Score of every passage, shape (passages,), 0 where nothing is shared.
        is_negative: Whether a passage may be taken; asked only until enough are found.
        count: How many to pick.
        rng: Draws the completion.
    """
    ranked = np.argsort(-scores, kind="stable")
    found = int(np.count_nonzero(scores > 0))
    hard = _first(count, map(int, ranked[:found]), is_negative)
    if len(hard) == count:
        return Picked(tuple(hard), 0)
    rest = ranked[found:].tolist()
    rng.shuffle(rest)
    drawn = _first(count - len(hard), rest, is_negative)
    return Picked((*hard, *drawn), len(drawn))


def arrange(positives: Sequence[int], negatives: Sequence[int], rng: random.Random) -> Arranged:
    """Shuffle positives and negatives together and say where the positives went."""
    order = [*positives, *negatives]
    rng.shuffle(order)
    known = frozenset(positives)
    return Arranged(tuple(order), tuple(i for i, p in enumerate(order) if p in known))


def jaccard(first: AbstractSet[str], second: AbstractSet[str]) -> float:
    """Shared share of two sets of terms: 0 apart, 1 equal; two empty sets share nothing."""
    union = len(first | second)
    return len(first & second) / union if union else 0.0


def _first(count: int, positions: Iterable[int], is_wanted: Callable[[int], bool]) -> list[int]:
    return list(islice(filter(is_wanted, positions), count))
