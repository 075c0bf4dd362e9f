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
    name="synthesize pairs",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_delay_seconds=10,
    retry_condition_fn=is_worth_retrying,
)
def synthesize_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Ask an LLM for questions, answers and paraphrases of every passage."""
    from tasks.llm.endpoint import endpoint_url
    from tasks.synthesis.generate import synthesize

    with (
        endpoint_url(config.synthesis) as base_url,
        open_fan_out(config.execution) as fan_out,
    ):
        return synthesize(config, workspace, base_url=base_url, fan_out=fan_out)
