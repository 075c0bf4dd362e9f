from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_model.world import draw_crowd
from tasks.evaluation.benchmarks import Sample, bm25_orders, choose_documents

CANDIDATES = ("a", "b", "c", "d", "e")
SAMPLE = Sample("q", "question", CANDIDATES, ("x",), positives=(4,), order=(2, 0, 4, 1, 3))


@pytest.mark.parametrize(
    ("setting", "k", "expected"),
    [
        ("closed", 3, []),
        ("normal", 1, [2]),
        ("normal", 2, [2, 0]),
        ("normal", 9, [2, 0, 4, 1, 3]),
        ("oracle", 1, [4]),
        ("oracle", 2, [2, 4]),
        ("oracle", 3, [2, 0, 4]),
        ("gold", 3, [4]),
    ],
)
def test_setting_decides_the_documents_in_bm25_order(
    setting: str, k: int, expected: list[int]
) -> None:
    assert choose_documents(SAMPLE, setting, k) == expected


def test_gold_documents_beyond_k_are_all_given() -> None:
    sample = Sample("q", "question", CANDIDATES, ("x",), positives=(1, 3), order=(2, 0, 4, 1, 3))
    assert choose_documents(sample, "oracle", 1) == [1, 3]


@given(
    order=st.permutations(range(5)),
    positives=st.sets(st.integers(0, 4), max_size=2),
    k=st.integers(1, 5),
)
def test_oracle_never_loses_a_gold_and_fills_up_to_k(
    order: list[int], positives: set[int], k: int
) -> None:
    sample = Sample("q", "question", CANDIDATES, ("x",), tuple(positives), tuple(order))
    chosen = choose_documents(sample, "oracle", k)
    assert positives <= set(chosen)
    assert len(chosen) == len(set(chosen)) == max(k, len(positives))


def test_decoy_is_wrong_and_of_the_golds_kind() -> None:
    wrong_kind = 0
    for seed in range(40):
        rng = random.Random(seed)
        crowd = draw_crowd(rng, "test", 20)
        texts = tuple(entity.document(rng) for entity in crowd)
        question = crowd[0].questions(rng)[0][0]
        sample = Sample(str(seed), question, texts, ("x",), (0,), tuple(range(20)))
        (decoy,) = choose_documents(sample, "decoy", 5)
        assert decoy != 0
        wrong_kind += crowd[decoy].kind != crowd[0].kind
    assert wrong_kind <= 2


def test_bm25_puts_the_passage_that_shares_rare_words_first() -> None:
    texts = ["the harbour of Osterly", "the ferry of Merrow", "茶园在云台山"]
    orders = bm25_orders(["When does the Merrow ferry sail?", "云台山在哪里？"], [texts, texts])
    assert [order[0] for order in orders] == [1, 2]


def test_equal_bm25_scores_do_not_follow_the_candidates_places() -> None:
    texts = [f"passage {letter}" for letter in "abcdefgh"]
    forward, backward = bm25_orders(["unrelated", "unrelated"], [texts, texts[::-1]])
    assert [texts[i] for i in forward] == [texts[::-1][i] for i in backward]
    assert forward != sorted(forward)
