"""Which examples a step sees."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from clara_model.training.sampler import Sampler

samplers = st.builds(
    Sampler,
    num_documents=st.integers(1, 40),
    num_world=st.integers(1, 40),
    world_share=st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]),
    batch_size=st.integers(1, 16),
    seed=st.integers(0, 3),
)


@given(samplers, st.integers(0, 1000))
def test_a_step_is_a_function_of_its_number(sampler: Sampler, step: int) -> None:
    again = Sampler(**vars(sampler))
    again.batch(0)
    assert sampler.batch(step) == again.batch(step)


@given(samplers)
def test_every_epoch_of_a_source_holds_each_row_once(sampler: Sampler) -> None:
    picks = [pick for step in range(60) for pick in sampler.batch(step)]
    for source, rows in enumerate((sampler.num_documents, sampler.num_world)):
        seen = [pick.row for pick in picks if pick.source == source]
        for start in range(0, len(seen) - rows + 1, rows):
            assert sorted(seen[start : start + rows]) == list(range(rows))


@given(samplers, st.integers(1, 60))
def test_any_beginning_holds_the_worlds_share(sampler: Sampler, steps: int) -> None:
    picks = [pick for step in range(steps) for pick in sampler.batch(step)]
    world = sum(pick.source for pick in picks)
    assert abs(world - len(picks) * sampler.world_share) < 1.01


def test_the_batch_size_does_not_change_the_order() -> None:
    small, large = (Sampler(17, 9, 0.4, size, seed=1) for size in (3, 12))
    assert [p for s in range(8) for p in small.batch(s)] == [
        p for s in range(2) for p in large.batch(s)
    ]


def test_epochs_are_shuffled_differently() -> None:
    sampler = Sampler(50, 0, 0.0, 50, seed=0)
    first, second = sampler.batch(0), sampler.batch(1)
    assert first != second
    assert Counter(first) == Counter(second)


def test_an_empty_source_leaves_all_to_the_other() -> None:
    assert {p.source for p in Sampler(0, 5, 0.3, 10, 0).batch(0)} == {1}
    assert {p.source for p in Sampler(5, 0, 0.3, 10, 0).batch(0)} == {0}


@given(st.integers(1, 500), st.integers(1, 64), st.floats(0.1, 5))
def test_steps_cover_the_epochs(rows: int, batch: int, epochs: float) -> None:
    steps = Sampler(rows, 0, 0.0, batch, 0).num_steps(epochs)
    assert steps == max(1, math.ceil(rows * epochs / batch))
