"""The flows of the base decoder and the three training stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from prefect import flow

from configs.load import DEFAULT_CONFIG
from flows.hooks import say_what_next
from flows.run import Run, open_run
from tasks.base.task import base_task, tokenizer_task
from tasks.training.task import train_task

_CONFIG = str(DEFAULT_CONFIG)


@flow(name="train-stage1", on_failure=[say_what_next], on_crashed=[say_what_next])
def train_stage1(config: str = _CONFIG, overrides: Sequence[str] = (), force: bool = False) -> None:
    """Salient compressor pretraining, after the base decoder is there."""
    with open_run(config, overrides, force=force) as run:
        settings, ws = run.config, run.workspace
        run.step("tokenizer", lambda _: tokenizer_task(settings, ws))
        run.step("base", lambda on_metrics: base_task(settings, ws, on_metrics))
        _train(run, "stage1")


@flow(name="train-stage2", on_failure=[say_what_next], on_crashed=[say_what_next])
def train_stage2(config: str = _CONFIG, overrides: Sequence[str] = (), force: bool = False) -> None:
    """Compression instruction tuning."""
    with open_run(config, overrides, force=force) as run:
        _train(run, "stage2")


@flow(name="train-stage3", on_failure=[say_what_next], on_crashed=[say_what_next])
def train_stage3(config: str = _CONFIG, overrides: Sequence[str] = (), force: bool = False) -> None:
    """End-to-end training with the differentiable top-k."""
    with open_run(config, overrides, force=force) as run:
        _train(run, "stage3")


def _train(run: Run, stage: Literal["stage1", "stage2", "stage3"]) -> None:
    metrics = run.workspace.logs / stage / "metrics.jsonl"
    run.step(
        stage,
        lambda on_metrics: train_task(
            run.config, run.workspace, stage, on_metrics, restart=run.force
        ),
        [metrics],
    )
