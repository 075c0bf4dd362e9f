"""Prefect skin of the step in this folder."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.llm.task import is_worth_retrying
from tasks.sharding.task import open_fan_out
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(
    name="caption images",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_delay_seconds=10,
    retry_condition_fn=is_worth_retrying,
)
def caption_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Ask a vision model about every image."""
    from tasks.captioning.caption import caption_images
    from tasks.llm.endpoint import endpoint_url

    with (
        endpoint_url(config.captioning) as base_url,
        open_fan_out(config.execution) as fan_out,
    ):
        return caption_images(config, workspace, base_url=base_url, fan_out=fan_out)
