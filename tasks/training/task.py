"""Prefect skin of the three training stages. No retries: a stage resumes from its checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(
    name="train stage",
    task_run_name="train {stage}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def train_task(
    config: PipelineConfig,
    workspace: Workspace,
    stage: Literal["stage1", "stage2", "stage3"],
    on_metrics: Callable[[list[dict[str, Any]]], None] | None = None,
    *,
    restart: bool = False,
) -> StepResult:
    """Start the training processes of one stage and follow them to the end."""
    from tasks.training.launch import train_stage

    return train_stage(config, workspace, stage, on_metrics=on_metrics, restart=restart)
