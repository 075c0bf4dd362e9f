"""What a flow run says when it ends badly."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger


def say_what_next(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Log how to continue: finished steps and items are kept, the same command goes on."""
    config = flow_run.parameters.get("config", "")
    flow_run_logger(flow_run, flow).error(
        "%s ended as %s. What is finished is kept; `clara run %s` continues from there.",
        flow.name, state.name, config,
    )  # fmt: skip
