"""Prefect skin of the step in this folder."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(name="cut passages", cache_policy=NO_CACHE, persist_result=False)
def passages_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Cut texts into passages of at most `doc_max_length` tokens."""
    from tasks.passages.chunk import make_passages

    return make_passages(config, workspace)
