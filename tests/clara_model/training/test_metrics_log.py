"""The metric lines of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_model.training.metrics import MetricsLog, read_metrics, recall


def test_lines_after_the_checkpoint_are_cut_when_continuing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsLog(path, last_step=0)
    for step in (1, 2, 3):
        first.write({"step": step, "loss": float(step)})
    first.close()
    second = MetricsLog(path, last_step=2)
    second.write({"step": 3, "loss": 9.0})
    second.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(path)] == [
        (1, 1.0), (2, 2.0), (3, 9.0),
    ]  # fmt: skip


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo', encoding="utf-8")
    assert read_metrics(path) == [{"step": 1}]


def test_what_is_not_finite_becomes_null(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsLog(path, last_step=0)
    metrics.write({"step": 1, "loss": float("nan"), "grad_norm": float("inf")})
    metrics.close()
    assert read_metrics(path) == [{"step": 1, "loss": None, "grad_norm": None}]


@pytest.mark.parametrize(
    ("chosen", "gold", "expected"),
    [([3], [3], 1.0), ([3], [1, 3], 1.0), ([3], [1], 0.0), ([0, 1, 2], [1, 9], 0.5)],
)
def test_recall_counts_what_could_be_found(
    chosen: list[int], gold: list[int], expected: float
) -> None:
    assert recall(chosen, gold) == expected
