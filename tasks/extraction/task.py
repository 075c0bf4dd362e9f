"""Prefect skin of the step in this folder."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.sharding.task import open_fan_out
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(name="convert documents", cache_policy=NO_CACHE, persist_result=False)
def extract_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Convert every document below `extraction.input`."""
    from tasks.extraction.convert import extract_documents

    with open_fan_out(config.execution) as fan_out:
        return extract_documents(config, workspace, fan_out)
