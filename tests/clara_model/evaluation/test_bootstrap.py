from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_model.evaluation.bootstrap import bootstrap_mean, compare_paired


def test_interval_agrees_with_scipys_percentile_bootstrap() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(7).random(80)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_mean(values.tolist(), samples=20_000)
    assert ours.low == pytest.approx(theirs.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.high, abs=0.003)


def test_interval_of_two_values_is_their_range() -> None:
    # A quarter of the resamples is (0, 0), a quarter (1, 1): both ends lie beyond 2.5 percent.
    assert bootstrap_mean([0.0, 1.0]) == (2, 0.5, 0.0, 1.0)


def test_same_seed_gives_the_same_interval_in_one_piece_or_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = [0.0, 1.0, 1.0, 0.5, 0.25] * 4
    whole = bootstrap_mean(values, samples=500, seed=3)
    monkeypatch.setattr("clara_model.evaluation.bootstrap._CELLS", 60)
    assert bootstrap_mean(values, samples=500, seed=3) == whole
    assert bootstrap_mean(values, samples=500, seed=4) != whole


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_mean_lies_inside_its_interval_inside_the_values(values: list[float]) -> None:
    interval = bootstrap_mean(values, samples=200)
    slack = 1e-9
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack
    assert interval.value == pytest.approx(sum(values) / len(values))


def test_questions_of_one_cluster_are_drawn_together() -> None:
    values = [1.0] * 20 + [0.0] * 20
    clusters = ["a"] * 20 + ["b"] * 20
    alone, together = bootstrap_mean(values), bootstrap_mean(values, clusters=clusters)
    assert together.value == alone.value == 0.5
    assert (together.low, together.high) == (0.0, 1.0)  # two clusters: both may be the same
    assert alone.low > 0.3


def test_mean_is_over_questions_though_clusters_differ_in_size() -> None:
    assert bootstrap_mean([1.0, 1.0, 1.0, 0.0], clusters=["a", "a", "a", "b"]).value == 0.75


def test_clusters_must_be_given_for_all() -> None:
    with pytest.raises(ValueError, match="2 values but 1 clusters"):
        bootstrap_mean([1.0, 0.0], clusters=["a"])


def test_better_system_is_told_with_a_small_p() -> None:
    first, second = [1.0] * 30 + [0.0] * 30, [0.0] * 60
    outcome = compare_paired(first, second)
    assert outcome.difference == 0.5
    assert outcome.low > 0
    assert outcome.p_value == pytest.approx(1 / 1001)
    assert outcome.verdict == "the first is higher"
    assert compare_paired(second, first).verdict == "the second is higher"


def test_same_scores_show_no_difference() -> None:
    outcome = compare_paired([0.0, 1.0, 1.0], [0.0, 1.0, 1.0])
    assert (outcome.difference, outcome.p_value) == (0.0, 1.0)
    assert outcome.verdict == "no difference shown"


def test_p_value_is_the_exact_one_of_all_swaps() -> None:
    # Of the 16 sign patterns of four equal differences two are as far from 0: p = 1/8.
    outcome = compare_paired([1.0] * 4, [0.0] * 4, samples=20000)
    assert outcome.p_value == pytest.approx(1 / 8, abs=0.01)
    assert not outcome.shown


def test_difference_within_two_clusters_is_not_shown() -> None:
    clusters = [0] * 20 + [1] * 20
    assert compare_paired([1.0] * 40, [0.0] * 40).shown
    assert not compare_paired([1.0] * 40, [0.0] * 40, clusters=clusters).shown


def test_other_questions_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="not the same questions"):
        compare_paired([1.0], [1.0, 0.0])
