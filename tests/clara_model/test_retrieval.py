from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model.retrieval import Bm25Index, search_tokens

LIGHTHOUSE = "The lighthouse of Osterly was built in 1911."
FERRY = "A ferry leaves Osterly every morning."
TEA_ZH = "云台茶园位于北山，茶树种于清代。"
BRIDGE_ZH = "灯笼桥长三百米。"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Bridge, 1911!", ["the", "bridge", "1911"]),
        ("北山茶", ["北山", "山茶"]),
        ("茶", ["茶"]),
        ("Tee 茶园 2x", ["tee", "茶园", "2x"]),
        ("ＡＢ café", ["ab", "café"]),
        ("ガス灯", ["ガス", "ス灯"]),
        ("서울은 크다", ["서울", "울은", "크다"]),
        ("हिन्दी", ["हिन्दी"]),
        ("... !?", []),
        ("", []),
    ],
)
def test_words_are_terms_and_cjk_characters_pair_up(text: str, tokens: list[str]) -> None:
    assert search_tokens(text) == tokens


def test_scores_follow_the_bm25_formula() -> None:
    # Three passages of 2, 2 and 4 terms; "b" stands in two of them, mean length 8 / 3.
    scores = Bm25Index(["a b", "c d", "b b b e"]).scores("b")
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))

    def expected(frequency: int, length: int) -> float:
        return idf * frequency / (frequency + 1.5 * (1 - 0.75 + 0.75 * length / (8 / 3)))

    np.testing.assert_allclose(scores, [expected(1, 2), 0.0, expected(3, 4)], rtol=1e-5)


def test_best_passage_comes_first_in_either_language() -> None:
    index = Bm25Index([FERRY, TEA_ZH, LIGHTHOUSE, BRIDGE_ZH])
    assert index.search("When was the lighthouse built?", 2)[0].position == 2
    assert index.search("茶园在哪里？", 2)[0].position == 1


def test_equal_scores_keep_the_order_of_passages() -> None:
    index = Bm25Index(["same words", "other thing", "same words", "same words"])
    assert [hit.position for hit in index.search("same", 4)] == [0, 2, 3, 1]


@pytest.mark.parametrize("texts", [[], ["", "..."]], ids=["no passages", "passages without words"])
def test_nothing_to_find_scores_zero(texts: list[str]) -> None:
    index = Bm25Index(texts)
    assert index.scores("word").tolist() == [0.0] * len(texts)
    assert len(index.search("word", 5)) == len(texts)


def test_passage_without_words_among_others_scores_zero() -> None:
    assert Bm25Index(["!", "a word"]).scores("word").tolist()[0] == 0.0


def test_query_of_unknown_words_finds_passages_in_order_with_zero() -> None:
    assert Bm25Index(["a", "b"]).search("zzz", 1) == [(0, 0.0)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=8), st.text(max_size=30), st.integers(1, 10))
def test_search_returns_distinct_positions_by_falling_score(
    texts: list[str], query: str, top_n: int
) -> None:
    hits = Bm25Index(texts).search(query, top_n)
    assert len({hit.position for hit in hits}) == len(hits) == min(top_n, len(texts))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(math.isfinite(score) for score in scores)


def test_scores_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from clara_model.retrieval import Bm25Index;"
        "i = Bm25Index(['red green blue', 'blue sky over sea', 'sea red']);"
        "print([float(x).hex() for x in i.scores('blue red sea sky')])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_importing_it_needs_no_torch() -> None:
    code = "import sys, clara_model.retrieval; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
