from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model.retrieval import search_tokens
from tasks.negatives.answers import answer_test, plain_text
from tasks.negatives.mine import (
    PassagePool,
    Picked,
    arrange,
    jaccard,
    mask_positives,
    mine_negatives,
    pick_negatives,
)

GOLD = "The Osterly lighthouse was built in 1911 by Mara Venn on the northern cliff."
NEAR = "The Osterly lighthouse was built in 1911 by Mara Venn on the northern cliff top."
HOLDS = "Mara Venn later founded a school."
HARD = "The Osterly lighthouse museum was built much later."
EASIER = "The ferry to Osterly leaves at dawn."
FAR = "Green tea grows slowly."
FARTHER = "Copper melts under heat."
QUESTION = "Who built the Osterly lighthouse?"


@pytest.fixture
def pool() -> PassagePool:
    texts = [FAR, NEAR, EASIER, GOLD, HOLDS, HARD, FARTHER]
    return PassagePool((str(i), text) for i, text in enumerate(texts))


def mine(pool: PassagePool, count: int, positives: tuple[int, ...] = (3,)) -> Picked:
    return mine_negatives(
        pool,
        QUESTION,
        "Mara Venn",
        positives,
        count=count,
        near_duplicate=0.8,
        rng=random.Random(5),
    )


def test_hardest_come_first_without_positive_near_duplicate_and_answer(pool: PassagePool) -> None:
    picked = mine(pool, 2)
    assert picked.positions == (5, 2)
    assert picked.completed == 0


def test_what_bm25_does_not_find_is_completed_at_random_and_counted(pool: PassagePool) -> None:
    picked = mine(pool, 4)
    assert picked.positions[:2] == (5, 2)
    assert set(picked.positions[2:]) == {0, 6}
    assert picked.completed == 2


def test_a_small_corpus_gives_fewer(pool: PassagePool) -> None:
    assert len(mine(pool, 50).positions) == 4


def test_every_positive_is_spared_whatever_their_number(pool: PassagePool) -> None:
    assert mine(pool, 50, (3, 5)).positions[0] == 2
    assert not {3, 5, 2} & set(mine(pool, 50, (3, 5, 2)).positions)


def test_near_duplicates_of_any_positive_are_spared() -> None:
    texts = ["a b c d", "w x y z", "w x y v", "a b c e", "a q r s"]
    pool = PassagePool((text, text) for text in texts)
    # Three terms of five are shared: 0.6.
    spared = mask_positives(pool, "question", "no answer here", [0, 1], 0.6)
    taken = mask_positives(pool, "question", "no answer here", [0, 1], 0.61)
    assert [spared(i) for i in range(5)] == [False, False, False, False, True]
    assert [taken(i) for i in range(5)] == [False, False, True, True, True]


def test_equal_texts_share_one_place() -> None:
    pool = PassagePool([("a", "One text."), ("b", "Other"), ("c", "one  TEXT")])
    assert len(pool) == 2
    assert pool.position("c") == pool.position("a") == 0
    assert "c" in pool
    assert "d" not in pool


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [({"a"}, {"a"}, 1.0), ({"a", "b"}, {"b", "c"}, 1 / 3), (set(), {"a"}, 0.0), (set(), set(), 0)],
)
def test_jaccard_is_the_shared_share(first: set[str], second: set[str], expected: float) -> None:
    assert jaccard(first, second) == pytest.approx(expected)


@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=12),
    barred=st.sets(st.integers(0, 11)),
    count=st.integers(0, 12),
    seed=st.integers(0, 3),
)
def test_picking_takes_the_best_that_are_allowed(
    scores: list[float], barred: set[int], count: int, seed: int
) -> None:
    picked = pick_negatives(
        np.array(scores, dtype=np.float32), lambda i: i not in barred, count, random.Random(seed)
    )
    allowed = [i for i in range(len(scores)) if i not in barred]
    hard = sorted((i for i in allowed if scores[i] > 0), key=lambda i: (-scores[i], i))
    taken = picked.positions
    assert len(taken) == len(set(taken)) == min(count, len(allowed))
    assert list(taken[: len(taken) - picked.completed]) == hard[:count]
    assert all(scores[i] == 0 for i in taken[len(taken) - picked.completed :])
    assert not set(taken) & barred


@given(st.lists(st.integers(0, 30), unique=True, max_size=12), st.data())
def test_arranging_keeps_everything_and_knows_the_positives(
    candidates: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(candidates)))
    positives, negatives = candidates[:cut], candidates[cut:]
    shown = arrange(positives, negatives, random.Random(data.draw(st.integers(0, 9))))
    assert sorted(shown.positions) == sorted(candidates)
    assert {shown.positions[i] for i in shown.pos_index} == set(positives)
    assert len(shown.pos_index) == len(positives)


def test_positives_move_about_with_the_seed() -> None:
    seen = {arrange([1], [2, 3, 4], random.Random(seed)).pos_index for seed in range(40)}
    assert seen == {(0,), (1,), (2,), (3,)}


WORDS = st.sampled_from(
    ["red", "blue", "sea", "ferry", "bridge", "茶园", "北山", "1911", "yes", "7"]
)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=15)


@settings(max_examples=100, deadline=None)
@given(texts=TEXTS, data=st.data())
def test_mined_negatives_keep_every_promise(texts: list[str], data: st.DataObject) -> None:
    pool = PassagePool((str(i), text) for i, text in enumerate(texts))
    positives = data.draw(
        st.lists(st.integers(0, len(pool) - 1), min_size=1, max_size=3, unique=True)
    )
    question = data.draw(st.lists(WORDS, min_size=1, max_size=5).map(" ".join))
    answer = data.draw(WORDS)
    count = data.draw(st.integers(1, 10))
    limit = data.draw(st.sampled_from([0.3, 0.8, 1.0]))
    arguments = {"count": count, "near_duplicate": limit}
    picked = mine_negatives(pool, question, answer, positives, rng=random.Random(1), **arguments)
    again = mine_negatives(pool, question, answer, positives, rng=random.Random(1), **arguments)
    assert picked == again
    assert len(picked.positions) == len(set(picked.positions)) <= count
    assert not set(picked.positions) & set(positives)
    test = answer_test(question, answer)
    valid = []
    for position in set(range(len(pool))) - set(positives):
        text = pool.texts[position]
        overlaps = [
            jaccard(set(search_tokens(text)), set(search_tokens(pool.texts[p]))) for p in positives
        ]
        if max(overlaps) < limit and not test(plain_text(text), set(search_tokens(text))):
            valid.append(position)
    assert set(picked.positions) <= set(valid)
    assert len(picked.positions) == min(count, len(valid))
