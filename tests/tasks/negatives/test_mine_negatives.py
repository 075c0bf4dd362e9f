from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model.retrieval import search_tokens
from tasks.negatives.answers import answer_test, plain_text
from tasks.negatives.mine import (
    COMPLETION,
    Asked,
    Limits,
    Picked,
    arrange,
    jaccard,
    mask_positives,
    mine_negatives,
    random_order,
    relative_test,
    share_out,
)
from tasks.negatives.pool import PassagePool
from tasks.negatives.strategies import WordRanking

GOLD = "The Osterly lighthouse was built in 1911 by Mara Venn on the northern cliff."
NEAR = "The Osterly lighthouse was built in 1911 by Mara Venn on the northern cliff top."
HOLDS = "Mara Venn later founded a school."
HARD = "The Osterly lighthouse museum was built much later."
EASIER = "The ferry to Osterly leaves at dawn."
FAR = "Green tea grows slowly."
FARTHER = "Copper melts under heat."
QUESTION = "Who built the Osterly lighthouse?"


def make_pool(texts: list[str], sources: list[str] | None = None) -> PassagePool:
    sources = sources or ["a.md"] * len(texts)
    return PassagePool(
        (str(i), text, s) for i, (text, s) in enumerate(zip(texts, sources, strict=True))
    )


@pytest.fixture
def pool() -> PassagePool:
    return make_pool([FAR, NEAR, EASIER, GOLD, HOLDS, HARD, FARTHER])


def mine(
    pool: PassagePool, count: int, golds: tuple[int, ...] = (3,), share: float = 9.0
) -> Picked:
    asked = Asked(QUESTION, "Mara Venn", golds, "seed")
    rankings = {"bm25": WordRanking(pool.index.scores(QUESTION))}
    return mine_negatives(pool, asked, rankings, {"bm25": count}, Limits(0.8, share))


@dataclass
class Listed:
    """A ranking that is given."""

    scores: dict[int, float]

    def order(self) -> Iterator[int]:
        yield from sorted(self.scores, key=lambda p: -self.scores[p])

    def score(self, position: int) -> float:
        return self.scores.get(position, 0.0)


def test_hardest_come_first_without_positive_near_duplicate_and_answer(pool: PassagePool) -> None:
    picked = mine(pool, 2)
    assert picked == Picked((5, 2), ("bm25", "bm25"))
    assert picked.completed == 0


def test_what_bm25_does_not_find_is_completed_at_random_and_counted(pool: PassagePool) -> None:
    picked = mine(pool, 4)
    assert picked.positions[:2] == (5, 2)
    assert set(picked.positions[2:]) == {0, 6}
    assert picked.found_by == ("bm25", "bm25", COMPLETION, COMPLETION)
    assert picked.completed == 2


def test_a_small_corpus_gives_fewer(pool: PassagePool) -> None:
    assert len(mine(pool, 50).positions) == 4


def test_every_positive_is_spared_whatever_their_number(pool: PassagePool) -> None:
    assert mine(pool, 50, (3, 5)).positions[0] == 2
    assert not {3, 5, 2} & set(mine(pool, 50, (3, 5, 2)).positions)


def test_a_passage_that_scores_above_the_positive_is_no_negative(pool: PassagePool) -> None:
    scores = pool.index.scores(QUESTION)
    assert scores[5] > 0.95 * scores[3] > scores[2]
    assert 5 not in mine(pool, 50, share=0.95).positions
    assert mine(pool, 50, share=0.95).positions[0] == 2


def test_what_scores_close_to_the_positive_is_no_negative_of_any_strategy() -> None:
    pool = make_pool([f"word{i}" for i in range(6)])
    asked = Asked("question", "answer", (0,), "seed")
    # The positive scores 2.0: 1.9 is 0.95 of it and may be taken, anything above may not.
    dense = Listed({0: 2.0, 1: 2.5, 2: 1.91, 3: 1.9, 4: 0.1})
    picked = mine_negatives(pool, asked, {"dense": dense}, {"dense": 1, "random": 4}, Limits())
    assert set(picked.positions) == {3, 4, 5}
    assert picked.found_by[picked.positions.index(3)] in ("dense", "random")
    picked = mine_negatives(pool, asked, {"dense": dense}, {"dense": 1}, Limits())
    assert picked == Picked((3,), ("dense",))


def test_the_best_of_several_positives_sets_the_bar() -> None:
    is_close = relative_test([Listed({0: 0.2, 1: 1.0, 2: 0.5, 3: 0.96})], (0, 1), 0.95)
    assert [is_close(p) for p in range(4)] == [False, True, False, True]


def test_a_strategy_that_sees_nothing_in_the_positive_bars_nothing() -> None:
    is_close = relative_test([Listed({1: 3.0}), Listed({0: -0.5, 1: 0.9})], (0,), 0.95)
    assert not is_close(1)


def test_strategies_share_the_places_and_take_turns() -> None:
    texts = [f"word{i}" for i in range(40)]
    pool = make_pool(texts, ["x"] * 5 + ["y"] * 35)
    asked = Asked("question", "answer", (2,), "seed")
    rankings = {
        "bm25": Listed({p: 50.0 - p for p in range(10, 20)}),
        "dense": Listed({p: 50.0 - p for p in (10, *range(20, 30))}),
    }
    quotas = {"bm25": 4, "dense": 2, "random": 1, "same_document": 2}
    picked = mine_negatives(pool, asked, rankings, quotas, Limits())
    found: dict[str, list[int]] = {}
    for position, name in zip(picked.positions, picked.found_by, strict=True):
        found.setdefault(name, []).append(position)
    assert found["bm25"] == [10, 11, 12, 13]
    assert found["dense"] == [20, 21]  # 10 was taken already
    assert found["same_document"] == [1, 3]  # the closest in the text
    assert len(found["random"]) == 1
    assert set(picked.found_by[:5]) == {"bm25", "dense", "random", "same_document"}


def test_an_unanswerable_question_spares_only_what_it_was_asked_about(pool: PassagePool) -> None:
    asked = Asked(QUESTION, None, (3,), "seed")
    picked = mine_negatives(pool, asked, {}, {"random": 9}, Limits())
    # HOLDS names Mara Venn, which is nobody's answer now; NEAR repeats the passage asked about.
    assert set(picked.positions) == {0, 2, 4, 5, 6}


def test_what_is_known_to_answer_is_never_taken(pool: PassagePool) -> None:
    asked = Asked(QUESTION, "Mara Venn", (3,), "seed")
    rankings = {"bm25": WordRanking(pool.index.scores(QUESTION))}
    picked = mine_negatives(pool, asked, rankings, {"bm25": 9}, Limits(), barred={5})
    assert set(picked.positions) == {0, 2, 6}


def test_near_duplicates_of_any_positive_are_spared() -> None:
    pool = make_pool(["a b c d", "w x y z", "w x y v", "a b c e", "a q r s"])
    # Three terms of five are shared: 0.6.
    asked = Asked("question", "no answer here", (0, 1), "seed")
    spared, taken = mask_positives(pool, asked, 0.6), mask_positives(pool, asked, 0.61)
    assert [spared(i) for i in range(5)] == [False, False, False, False, True]
    assert [taken(i) for i in range(5)] == [False, False, True, True, True]


def test_equal_texts_share_one_place() -> None:
    pool = PassagePool([("a", "One text.", "s"), ("b", "Other", "s"), ("c", "one  TEXT", "t")])
    assert len(pool) == 2
    assert pool.position("c") == pool.position("a") == 0
    assert "c" in pool
    assert "d" not in pool


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [({1}, {1}, 1.0), ({1, 2}, {2, 3}, 1 / 3), (set(), {1}, 0.0), (set(), set(), 0)],
)
def test_jaccard_is_the_shared_share(first: set[int], second: set[int], expected: float) -> None:
    assert jaccard(first, second) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("count", "shares", "quotas"),
    [
        (19, {"bm25": 1.0}, {"bm25": 19}),
        (19, {"bm25": 0.5, "dense": 0.3, "random": 0.1, "same_document": 0.1},
         {"bm25": 9, "dense": 6, "random": 2, "same_document": 2}),
        (1, {"bm25": 0.4, "dense": 0.6}, {"dense": 1}),
        (10, {"bm25": 0.25, "random": 0.25}, {"bm25": 5, "random": 5}),
        (0, {"bm25": 1.0}, {}),
    ],
)  # fmt: skip
def test_shares_become_whole_numbers(
    count: int, shares: dict[str, float], quotas: dict[str, int]
) -> None:
    assert share_out(count, shares) == quotas


@given(st.integers(0, 60), st.integers(0, 5))
def test_a_random_order_names_every_number_once(number: int, seed: int) -> None:
    assert sorted(random_order(number, random.Random(seed))) == list(range(number))


@given(st.lists(st.integers(0, 30), unique=True, max_size=12), st.integers(0, 9))
def test_arranging_keeps_everything(candidates: list[int], seed: int) -> None:
    shown = arrange(candidates, str(seed))
    assert sorted(shown) == sorted(candidates)
    assert shown == arrange(candidates, str(seed))


def test_positives_move_about_with_the_seed() -> None:
    assert {arrange([1, 2, 3, 4], str(seed)).index(1) for seed in range(40)} == {0, 1, 2, 3}


WORDS = st.sampled_from(
    ["red", "blue", "sea", "ferry", "bridge", "茶园", "北山", "1911", "yes", "7"]
)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=15)


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, data=st.data())
def test_mined_negatives_keep_every_promise(texts: list[str], data: st.DataObject) -> None:
    pool = make_pool(texts)
    golds = data.draw(st.lists(st.integers(0, len(pool) - 1), min_size=1, max_size=3, unique=True))
    question = data.draw(st.lists(WORDS, min_size=1, max_size=5).map(" ".join))
    answer = data.draw(WORDS)
    quotas = {name: data.draw(st.integers(1, 4)) for name in ("bm25", "random", "same_document")}
    limits = Limits(data.draw(st.sampled_from([0.3, 0.8, 1.0])), 0.95)
    scores = pool.index.scores(question)
    asked = Asked(question, answer, tuple(golds), "seed")
    picked = mine_negatives(pool, asked, {"bm25": WordRanking(scores)}, quotas, limits)
    assert picked == mine_negatives(pool, asked, {"bm25": WordRanking(scores)}, quotas, limits)
    taken = picked.positions
    test = answer_test(question, answer)
    best = max(float(scores[p]) for p in golds)
    valid = []
    for position in set(range(len(pool))) - set(golds):
        text = pool.texts[position]
        terms = set(search_tokens(text))
        overlaps = []
        for gold in golds:
            own = set(search_tokens(pool.texts[gold]))
            overlaps.append(len(terms & own) / len(terms | own))
        close = best > 0 and float(scores[position]) > 0.95 * best
        if max(overlaps) < limits.near_duplicate and not close and not test(plain_text(text), text):
            valid.append(position)
    assert set(taken) <= set(valid)
    assert len(taken) == len(set(taken)) == min(sum(quotas.values()), len(valid))
    hard = [p for p, name in zip(taken, picked.found_by, strict=True) if name == "bm25"]
    ranked = sorted((p for p in valid if scores[p] > 0), key=lambda p: (-scores[p], p))
    assert hard == ranked[: quotas["bm25"]]
