"""Rates, the window and Retry-After, on a clock that the test holds."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.llm.pace import Rate, Window, retry_after

NOW = 1_800_000_000.0

gaps = st.lists(st.floats(0.0, 5.0), min_size=2, max_size=40)


@given(gaps, st.integers(1, 6000), st.data())
def test_rate_holds_in_every_stretch_of_time(gaps, per_minute, data):
    rate, now, sent = Rate(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        amount = data.draw(st.integers(1, 200))
        sent.append((now + rate.reserve(amount, now), amount))
    burst = max(1.0, per_minute / 60)
    for first in range(len(sent)):
        for last in range(first + 1, len(sent)):
            out = sum(amount for _, amount in sent[first + 1 : last + 1])
            seconds = sent[last][0] - sent[first][0]
            assert out <= burst + per_minute / 60 * seconds + 1e-6


@given(st.integers(1, 600), st.integers(1, 200))
def test_rate_makes_nobody_wait_longer_than_it_must(per_minute, number):
    rate = Rate(per_minute)
    waits = [rate.reserve(1, 100.0) for _ in range(number)]
    per_second = per_minute / 60
    for place, wait in enumerate(waits, start=1):
        assert wait == pytest.approx(max(0.0, (place - max(1.0, per_second)) / per_second))


def test_rate_after_a_pause_gives_one_second_worth_at_once_not_all_that_was_missed():
    rate = Rate(600)  # ten a second
    for _ in range(10):
        assert rate.reserve(1, 0.0) == 0.0
    waits = [rate.reserve(1, 1000.0) for _ in range(12)]
    assert waits == pytest.approx([0.0] * 10 + [0.1, 0.2])


def test_tokens_that_were_not_used_are_given_back():
    rate = Rate(60_000)  # a thousand a second
    assert rate.reserve(3000, 0.0) == pytest.approx(2.0)
    rate.correct(-2500, 0.0)  # the reply was short: 500 in all
    assert rate.reserve(500, 0.0) == 0.0


def test_tokens_beyond_the_expected_are_waited_for_afterwards():
    rate = Rate(60_000)
    assert rate.reserve(1000, 0.0) == 0.0
    rate.correct(2000, 0.0)
    assert rate.reserve(1, 0.0) == pytest.approx(2.001)


@given(st.integers(1, 64), st.lists(st.tuples(st.booleans(), st.floats(0.0, 3.0)), max_size=80))
def test_window_stays_between_one_and_its_setting(most, events):
    window, now = Window(most), 0.0
    for is_reply, took in events:
        now += took
        before = window.size
        if is_reply:
            window.grow()
            assert before <= window.size <= before + 1
        elif window.halve(now - took, now):
            assert window.size == max(1.0, before / 2)
        else:
            assert window.size == before
        assert 1.0 <= window.size <= most


def test_a_storm_of_refusals_to_one_windowful_halves_once():
    window = Window(32)
    counted = [window.halve(sent_at=0.0, now=0.2 + 0.01 * i) for i in range(32)]
    assert counted.count(True) == 1
    assert window.size == 16
    assert window.halve(sent_at=0.6, now=0.8)
    assert window.size == 8


def test_window_grows_by_about_one_a_windowful_of_replies():
    window = Window(32)
    window.halve(0.0, 0.1)
    for _ in range(16):
        window.grow()
    assert 16.9 < window.size <= 17.0
    for _ in range(17):
        window.grow()
    assert 17.8 < window.size <= 18.0


@given(st.floats(0, 1e6))
def test_retry_after_in_seconds(seconds):
    assert retry_after({"retry-after": f" {seconds!r} "}, NOW) == pytest.approx(seconds)


@given(st.integers(0, 10**6))
def test_retry_after_as_an_http_date(ahead):
    date = formatdate(NOW + ahead, usegmt=True)
    assert retry_after({"retry-after": date}, NOW) == ahead


@given(st.text())
def test_retry_after_of_any_text_is_a_wait_or_nothing(text):
    wait = retry_after({"retry-after": text}, NOW)
    assert wait is None or 0.0 <= wait < float("inf")


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 -0000"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 09:00:30 +0100"}, 30.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "?", "retry-after": "9"}, 9.0),
    ],
)
def test_retry_after_in_odd_forms(headers, wait):
    # NOW is Fri, 15 Jan 2027 08:00:00 UTC.
    assert retry_after(headers, NOW) == wait
