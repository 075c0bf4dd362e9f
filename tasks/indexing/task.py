"""Prefect skin of the index."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(name="build index", cache_policy=NO_CACHE, persist_result=False)
def index_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Compress every passage once, for answering."""
    from tasks.indexing.build import build_index

    return build_index(config, workspace)
