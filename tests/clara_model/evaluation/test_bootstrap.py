from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_model.evaluation.bootstrap import bootstrap_mean


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
