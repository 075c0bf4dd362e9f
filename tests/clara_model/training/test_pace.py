"""The time that a run still takes."""

from __future__ import annotations

import pytest

from clara_model.training.pace import Pace


def test_steady_steps_leave_their_time_times_the_rest() -> None:
    pace = Pace(num_steps=10, now=100.0)
    left = [pace.seconds_left(step, now=100.0 + 3 * step) for step in (1, 2, 3)]
    assert left == pytest.approx([27.0, 24.0, 21.0])


def test_one_slow_step_shows_but_does_not_rule() -> None:
    pace = Pace(num_steps=100, now=0.0)
    for step in range(1, 50):
        pace.seconds_left(step, now=float(step))
    assert 50 < pace.seconds_left(50, now=49.0 + 11.0) < 3 * 50


def test_nothing_is_left_at_the_end() -> None:
    assert Pace(num_steps=1, now=0.0).seconds_left(1, now=5.0) == 0
