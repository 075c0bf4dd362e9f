"""The loss curve of pretraining survives interruptions whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clara_model.base.pretrain import pretrain_base
from clara_model.base.settings import BuiltInSettings
from clara_model.base.tokenizer import train_tokenizer
from tasks.base.losses import keep_losses
from tasks.learning.job import _read
from tasks.storage import read_records

SETTINGS = {
    "hidden_size": 32, "layers": 1, "heads": 2, "ffn": 64, "steps": 8, "batch_size": 2,
    "checkpoint_every": 3, "warmup_steps": 2, "copy_steps": 0, "short_steps": 0,
}  # fmt: skip


def lines(*steps: int, loss: float = 1.0) -> list[dict[str, Any]]:
    return [{"step": step, "loss": loss} for step in steps]


def test_what_came_before_the_checkpoint_is_kept_and_what_came_after_is_replaced(
    tmp_path: Path,
) -> None:
    curve = tmp_path / "metrics.jsonl"
    keep_losses(curve, lines(1, 2, 3, 4, 5))
    keep_losses(curve, lines(4, 5, 6, loss=2.0))
    assert read_records(curve) == lines(1, 2, 3) + lines(4, 5, 6, loss=2.0)


def test_a_run_that_starts_anew_starts_its_curve_anew(tmp_path: Path) -> None:
    curve = tmp_path / "metrics.jsonl"
    keep_losses(curve, lines(1, 2, 3))
    keep_losses(curve, lines(1, loss=2.0))
    assert read_records(curve) == lines(1, loss=2.0)


def test_a_run_that_has_nothing_left_to_do_leaves_the_curve_alone(tmp_path: Path) -> None:
    curve = tmp_path / "metrics.jsonl"
    keep_losses(curve, lines(1, 2))
    keep_losses(curve, [])
    assert read_records(curve) == lines(1, 2)


def test_a_reader_of_a_learning_proof_that_was_killed_has_its_whole_curve(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    told: list[dict[str, Any]] = []

    def kill(report: dict[str, float]) -> None:
        told.append({"step": report["step"], "loss": report["loss"]})
        if report["step"] == 5:
            raise KilledError

    settings = BuiltInSettings.model_validate(SETTINGS)
    train_tokenizer([], tmp_path / "tokenizer")
    with pytest.raises(KilledError):
        pretrain_base(tmp_path / "tokenizer", tmp_path / "model", settings, user_texts=[],
                      world_share=1.0, on_progress=kill)  # fmt: skip
    curve = tmp_path / "logs" / "metrics.jsonl"
    keep_losses(curve, told)
    _read({"settings": {"built_in": SETTINGS, "device": "cpu"}, "threads": 1}, tmp_path)
    assert [line["step"] for line in read_records(curve)] == list(range(1, 9))
    assert read_records(curve)[:5] == told
