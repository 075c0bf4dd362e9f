"""What a flow run says when it ends badly, and who is told."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from prefect.utilities.urls import url_for

from configs.load import DEFAULT_CONFIG, load_config
from flows.continuing import continuing_command

_LONGEST = 1500  # characters of an error that are passed on


def say_what_next(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Log how to continue, write it beside the run, and tell the block that the settings name.

    Whatever goes wrong here is logged, and changes nothing about the run.
    """
    logger = flow_run_logger(flow_run, flow)
    logger.error(
        "%s ended as %s. What is finished is kept; `%s` continues from there.",
        flow.name, state.name, continuing_command(flow.name, flow_run.parameters),
    )  # fmt: skip
    for report in (_write_page, _notify):
        try:
            report(flow, flow_run, state)
        except Exception as err:  # noqa: BLE001 - a report about a failure is not to add another
            logger.warning("%s: %s: %s", report.__name__.strip("_"), type(err).__name__, err)


def describe_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> str:
    """What happened and what to do next, in Markdown."""
    message = (state.message or "no message").strip()[:_LONGEST]
    return "\n".join([
        f"# {flow.name} ended as {state.name}", "",
        f"Flow run `{flow_run.name}`:", "", "```", message, "```", "",
        "What is finished is kept. To go on from there:", "",
        "```", continuing_command(flow.name, flow_run.parameters), "```", "",
        f"or run its deployment again: `prefect deployment run {flow.name}/{flow.name}`.",
        "If the message names a step and an item, mend that first; `clara doctor` looks at the "
        "machine.",
    ])  # fmt: skip


def _write_page(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    with get_client(sync_client=True) as client:
        client.create_artifact(
            ArtifactCreate(
                key=f"clara-{flow.name}-what-next",
                type="markdown",
                description=f"{flow.name} ended as {state.name}: what to do next",
                data=describe_failure(flow, flow_run, state),
                flow_run_id=flow_run.id,
            )
        )


def _notify(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    if flow_run.parent_task_run_id is not None:
        return  # the flow that called this one fails as well, and tells
    if flow.name == "learn":
        return  # its configuration is one of its own, without a section `execution`
    parameters = flow_run.parameters
    settings = load_config(
        parameters.get("config", DEFAULT_CONFIG), parameters.get("overrides", ())
    )
    if settings.execution.notify is None:
        return
    import prefect.blocks.notifications  # noqa: F401 - makes its block types known

    block = Block.load(settings.execution.notify, _sync=True)  # type: ignore[call-arg]
    if not isinstance(block, NotificationBlock):
        raise TypeError(f"execution.notify: {settings.execution.notify} sends no notifications")
    address = url_for(flow_run)
    text = describe_failure(flow, flow_run, state)
    body = f"{text}\n\n{address}" if address else text
    block.notify(body, f"{flow.name}: {state.name}")  # type: ignore[unused-coroutine]
