"""The flows of the base decoder and the three training stages."""

from __future__ import annotations

from typing import Literal

from configs.load import DEFAULT_CONFIG
from flows.parameters import Config, Overrides, pipeline_flow
from flows.run import Run, open_run
from tasks.base.task import base_task, tokenizer_task
from tasks.rows.task import remine_task
from tasks.training.task import train_task

_CONFIG = str(DEFAULT_CONFIG)


@pipeline_flow("train-stage1")
def train_stage1(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Salient compressor pretraining, after the base decoder is there."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        settings, ws = run.config, run.workspace
        run.step("tokenizer", lambda _: tokenizer_task(settings, ws))
        run.step("base", lambda on_metrics: base_task(settings, ws, on_metrics))
        _train(run, "stage1")


@pipeline_flow("train-stage2")
def train_stage2(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Compression instruction tuning."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        _train(run, "stage2")


@pipeline_flow("train-stage3")
def train_stage3(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """End-to-end training with the differentiable top-k."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        settings, ws = run.config, run.workspace
        if "remine" in run.plan:  # a share of the negatives by the model's own memories
            run.step("remine", lambda _: remine_task(settings, ws), [ws.end_to_end_memory])
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
