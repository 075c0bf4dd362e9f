"""Batches of like length."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model.batches import collate
from clara_model.encoding import load_tokenizer
from clara_model.training.dataset import Dataset
from clara_model.training.grouping import Cost, GroupedSampler, padding_share
from clara_model.training.sampler import Sampler
from clara_model.training.spec import ModelPart, StagePart, TrainSpec

samplers = st.builds(
    Sampler,
    num_documents=st.integers(1, 40),
    num_world=st.integers(0, 40),
    world_share=st.sampled_from([0.0, 0.25, 1 / 3, 0.9, 1.0]),
    batch_size=st.integers(1, 16),
    seed=st.integers(0, 3),
)


def _costs(source: int, rows: list[int]) -> list[Cost]:
    draws = (random.Random(f"{source}/{row}") for row in rows)
    return [Cost(draw.randint(1, 100), draw.randint(1, 100)) for draw in draws]


def _all(sampler: Sampler, steps: int, window: int = 5) -> list[list[tuple[int, int]]]:
    grouped = GroupedSampler(sampler, _costs, steps, window)
    return [grouped.batch(step) for step in range(steps)]


@settings(deadline=None)
@given(samplers, st.integers(1, 40))
def test_every_epoch_of_a_source_holds_each_row_once(sampler: Sampler, steps: int) -> None:
    picks = [pick for batch in _all(sampler, steps) for pick in batch]
    for source, rows in enumerate((sampler.num_documents, sampler.num_world)):
        counts = Counter(row for which, row in picks if which == source)
        total = sum(counts.values())
        assert all(total // rows <= counts[row] <= -(-total // rows) for row in range(rows))


@settings(deadline=None)
@given(samplers, st.integers(1, 40))
def test_steps_keep_their_size_and_the_worlds_share(sampler: Sampler, steps: int) -> None:
    for step, batch in enumerate(_all(sampler, steps)):
        plain = sampler.batch(step)
        assert Counter(p[0] for p in batch) == Counter(p.source for p in plain)


@settings(deadline=None)
@given(samplers, st.integers(1, 40), st.data())
def test_a_step_is_a_function_of_its_number(sampler: Sampler, steps: int, data) -> None:
    step = data.draw(st.integers(0, steps - 1))
    fresh = GroupedSampler(sampler, _costs, steps, 5)
    assert fresh.batch(step) == _all(sampler, steps)[step]


@settings(deadline=None)
@given(samplers, st.integers(1, 40))
def test_the_same_examples_are_seen_as_without_grouping(sampler: Sampler, steps: int) -> None:
    plain = Counter(pick for step in range(steps) for pick in sampler.batch(step))
    assert Counter(pick for batch in _all(sampler, steps) for pick in batch) == plain


def test_batches_are_alike_in_length_and_shuffled() -> None:
    sampler = Sampler(1000, 0, 0.0, 20, seed=0)
    batches = [[_costs(*p[:1], [p[1]])[0] for p in b] for b in _all(sampler, 100, window=50)]
    plain = [[_costs(0, [p.row])[0] for p in sampler.batch(s)] for s in range(100)]
    assert padding_share(batches) < 0.15 < 0.45 < padding_share(plain)
    means = [sum(map(sum, batch)) for batch in batches[:50]]
    assert means not in (sorted(means), sorted(means, reverse=True))
    first, second = (
        {frozenset(b) for b in _all(sampler, 100, 50)[part]} for part in (slice(50), slice(50, 100))
    )
    assert not first & second


def test_long_examples_of_both_sources_come_together() -> None:
    sampler = Sampler(400, 400, 0.5, 16, seed=0)
    batches = _all(sampler, 50, window=50)
    means = [
        [sum(sum(_costs(s, [row])[0]) for source, row in b if source == s) for s in (0, 1)]
        for b in batches
    ]
    by_first = sorted(means)
    low, high = by_first[:25], by_first[25:]
    assert sum(world for _, world in low) < 0.8 * sum(world for _, world in high)


def test_two_million_rows_take_no_longer_a_step() -> None:
    asked: list[int] = []

    def costs(source: int, rows: list[int]) -> list[Cost]:
        asked.append(len(rows))
        return _costs(source, rows)

    grouped = GroupedSampler(Sampler(2_000_000, 0, 0.0, 8, seed=0), costs, 250_000)
    for step in range(100_000, 100_010):
        grouped.batch(step)
    assert sum(asked) <= 2 * 8 * 51


def test_grouping_can_be_turned_off(make_spec: Callable[..., TrainSpec]) -> None:
    dataset = Dataset(make_spec("stage1", group_by_length=False))
    rows = [dataset._sources[source][row] for source, row in dataset.sampler.batch(1)]
    assert dataset.batch(1) == rows


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
def test_every_stage_sees_its_rows(make_spec: Callable[..., TrainSpec], stage: str) -> None:
    grouped, plain = (Dataset(make_spec(stage, group_by_length=on)) for on in (True, False))
    seen, expected = (
        sorted(str(row) for step in range(6) for row in dataset.batch(step))
        for dataset in (grouped, plain)
    )
    assert seen == expected
    assert grouped.documents() == plain.documents()


def test_padding_of_released_rows_is_below_a_tenth(shared: Path, tmp_path: Path) -> None:
    spec = TrainSpec(
        stage="stage1",
        documents=shared / "rows" / "ml_clara_pretrain_1000.jsonl",
        base=shared / "conformance" / "qwen3_cr4" / "base",
        output=tmp_path,
        work=tmp_path,
        logs=tmp_path,
        model=ModelPart(doc_max_length=256, compr_rate=32, generation_top_k=1),
        training=StagePart(batch_size=32, learning_rate=1e-4, epochs=1),
    )
    dataset, config = Dataset(spec), spec.clara_config()
    tokenizer = load_tokenizer(str(spec.base), config)
    tokens = {"enc": [0, 0], "dec": [0, 0]}
    for step in range(dataset.num_steps):
        batch = collate(dataset.batch(step), tokenizer, config, stage="stage1", generator_seed=step)
        for name, counts in tokens.items():
            mask = batch[f"{name}_attention_mask"]
            counts[0] += int(mask.sum())
            counts[1] += mask.numel()
    padding = {name: 1 - real / computed for name, (real, computed) in tokens.items()}
    assert padding["enc"] < 0.1, padding
    assert padding["dec"] < 0.1, padding
