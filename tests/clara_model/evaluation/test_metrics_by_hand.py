from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model.errors import ConfigError
from clara_model.evaluation.metrics import METRIC_NAMES, score
from clara_model.evaluation.metrics.cjk import tokenize_answer
from clara_model.evaluation.metrics.retrieval import (
    chance_recall_at,
    chance_reciprocal_rank,
    recall_at,
    reciprocal_rank,
)

ANSWER_NAMES = [
    name
    for name in METRIC_NAMES
    if "@" not in name and not any(part in name for part in (".sp", ".evi", ".support", ".mrr"))
]


def test_unknown_metric_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no metric 'hotpot\.accuracy'.*hotpot\.em"):
        score("hotpot.accuracy", "a", ["a"])


@pytest.mark.parametrize("name", ["clara.recall@0", "clara.recall@x", "clara.recall"])
def test_cut_off_must_be_a_positive_number(name: str) -> None:
    with pytest.raises(ConfigError, match="no metric"):
        score(name, [0], [0])


@pytest.mark.parametrize(
    ("prediction", "gold", "em", "f1", "contains"),
    [
        ("The Beacon, 1874.", "beacon 1874", 1.0, 1.0, 1.0),
        ("in 1874", "1874", 0.0, 2 / 3, 1.0),
        ("云台山茶园", "云台山", 0.0, 0.75, 1.0),
        ("２０２２年", "2022年", 1.0, 1.0, 1.0),
        ("北京。", "北京", 1.0, 1.0, 1.0),
        ("京北", "北京", 0.0, 1.0, 0.0),
        ("18745", "1874", 0.0, 0.0, 0.0),
        ("A", "a", 1.0, 1.0, 1.0),
        ("", "x", 0.0, 0.0, 0.0),
        ("anything", "...", 0.0, 0.0, 0.0),
    ],
)
def test_own_metrics_read_english_and_chinese(
    prediction: str, gold: str, em: float, f1: float, contains: float
) -> None:
    assert score("open.em", prediction, [gold]) == em
    assert score("open.f1", prediction, [gold]) == pytest.approx(f1)
    assert score("open.contains", prediction, [gold]) == contains


def test_chinese_characters_are_tokens_and_latin_words_stay_whole() -> None:
    assert tokenize_answer("于1998年加入Auk Tidal公司") == [
        "于", "1998", "年", "加", "入", "auk", "tidal", "公", "司",
    ]  # fmt: skip


@settings(deadline=None)  # the first call imports
@given(
    name=st.sampled_from(ANSWER_NAMES),
    prediction=st.text(max_size=20),
    golds=st.lists(st.text(max_size=20), min_size=1, max_size=3),
)
def test_answer_scores_lie_between_0_and_1_for_any_text(
    name: str, prediction: str, golds: list[str]
) -> None:
    assert 0.0 <= score(name, prediction, golds) <= 1.0


@given(text=st.text(max_size=20).filter(lambda t: tokenize_answer(t)))
def test_an_answer_agrees_with_itself(text: str) -> None:
    assert score("open.em", text, [text]) == score("open.f1", text, [text]) == 1.0
    assert score("open.contains", text, [text]) == 1.0


def test_recall_counts_the_golds_found_early() -> None:
    ranking = [4, 2, 0, 1, 3]
    assert [recall_at(k, ranking, [2, 3]) for k in (1, 3, 5)] == [0.0, 0.5, 1.0]
    assert recall_at(3, ranking, []) == 0.0


def test_reciprocal_rank_is_of_the_first_gold() -> None:
    assert reciprocal_rank([4, 2, 0, 1, 3], [0, 1]) == pytest.approx(1 / 3)
    assert reciprocal_rank([4, 2], [9]) == 0.0


@pytest.mark.parametrize(("candidates", "golds"), [(1, 1), (5, 1), (5, 2), (6, 5), (4, 4), (5, 0)])
def test_chance_is_the_mean_over_all_places_of_the_golds(candidates: int, golds: int) -> None:
    ranking = list(range(candidates))
    places = list(combinations(ranking, golds))
    expected = sum(reciprocal_rank(ranking, place) for place in places) / len(places)
    assert chance_reciprocal_rank(candidates, golds) == pytest.approx(expected)
    if golds:
        recall = sum(recall_at(3, ranking, place) for place in places) / len(places)
        assert chance_recall_at(3, candidates) == pytest.approx(recall)
