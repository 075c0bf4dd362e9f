"""Prefect skin of evaluation and report."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.storage import StepResult
from tasks.workspace import Workspace


@task(name="evaluate systems", cache_policy=NO_CACHE, persist_result=False)
def evaluate_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Ask every system the held-out questions and score the answers."""
    from tasks.evaluation.evaluate import evaluate

    return evaluate(config, workspace)


@task(name="write report", cache_policy=NO_CACHE, persist_result=False)
def report_task(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Write the report page from stored predictions and manifests."""
    from tasks.evaluation.report import write_report

    path = write_report(config, workspace)
    return StepResult({"bytes": path.stat().st_size})
