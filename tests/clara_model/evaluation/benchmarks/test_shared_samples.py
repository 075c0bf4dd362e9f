"""The real samples: all of them load, and both settings can be built."""

from __future__ import annotations

import pytest

from clara_model.evaluation.benchmarks import build_setting, load_benchmark, pool_samples


@pytest.mark.parametrize(
    ("name", "questions", "hops", "passages"),
    [("hotpotqa", 200, 2, 1971), ("2wikimultihopqa", 82, 2, 672), ("musique", 100, 2, 1603),
     ("nq", 1000, 1, 987)],
)  # fmt: skip
def test_sample_file_loads_whole_and_is_asked_in_both_settings(
    shared, name, questions, hops, passages
):
    loaded = load_benchmark(name, folder=shared / "benchmarks")
    assert len(loaded.samples) == loaded.with_all_golds == questions
    assert loaded.set_aside == ()
    assert min(len(sample.gold_positions) for sample in loaded.samples) >= hops
    pool = pool_samples(loaded.samples, name)
    assert len(pool.documents) == passages
    first = load_benchmark(loaded.path, limit=30)
    _, oracle = build_setting(first, "oracle", pool, num_candidates=20)
    _, normal = build_setting(first, "normal", pool, num_candidates=20)
    assert oracle.all_present == 30
    assert 5 <= normal.all_present <= 30
