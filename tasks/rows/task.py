"""Prefect skin of the step in this folder."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.sharding.task import open_fan_out
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(name="mine rows", cache_policy=NO_CACHE, persist_result=False)
def mine_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Find hard negatives and write the rows of the three stages and the benchmark."""
    from tasks.rows.build import mine_rows

    with open_fan_out(config.execution) as fan_out:
        return mine_rows(config, workspace, fan_out)


@task(name="mine rows with memories", cache_policy=NO_CACHE, persist_result=False)
def remine_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Find stage 3's negatives once more, with the memories of stage 2's compressor."""
    from tasks.rows.remine import remine_rows

    return remine_rows(config, workspace)
