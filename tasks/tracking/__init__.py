"""MLflow: runs that a killed pipeline finds again, and a spool, so that no server is waited for."""

from tasks.tracking.address import tracking_uri
from tasks.tracking.registry import register_stages
from tasks.tracking.runs import (
    Tracker,
    finish_pipeline_run,
    flatten,
    log_artifacts,
    log_dataset,
    log_manifest,
    log_metrics,
    open_pipeline_run,
    result_run,
    step_run,
)

__all__ = [
    "Tracker",
    "finish_pipeline_run",
    "flatten",
    "log_artifacts",
    "log_dataset",
    "log_manifest",
    "log_metrics",
    "open_pipeline_run",
    "register_stages",
    "result_run",
    "step_run",
    "tracking_uri",
]
