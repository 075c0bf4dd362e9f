"""Prefect skin of the data card."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(name="write data card", cache_policy=NO_CACHE, persist_result=False)
def card_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Write the data card, and show it on the run's page."""
    from tasks.data_card.build import write_card

    result = write_card(config, workspace)
    create_markdown_artifact(
        markdown=(workspace.data_card / "card.md").read_text(encoding="utf-8"),
        key="clara-data-card",
        description="what the rows are",
    )
    return result
