"""Prefect skin of the steps in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(name="prepare tokenizer", cache_policy=NO_CACHE, persist_result=False)
def tokenizer_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Train the built-in tokenizer, or bring in the base's own."""
    from tasks.base.prepare import prepare_tokenizer

    return prepare_tokenizer(config, workspace)


@task(name="prepare base", cache_policy=NO_CACHE, persist_result=False)
def base_task(
    config: PipelineConfig,
    workspace: Workspace,
    on_metrics: Callable[[list[dict[str, Any]]], None] | None = None,
) -> StepResult:
    """Pretrain the built-in decoder, or bring in another one."""
    from tasks.base.prepare import prepare_base

    return prepare_base(config, workspace, on_metrics)
