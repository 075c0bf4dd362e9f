"""What a flow run says when it ends badly, and who is told."""

from __future__ import annotations

from contextlib import suppress
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
from flows.continuing import continuing_command, deployment_command
from tasks.housekeeping.redact import learn_secrets, redact

_LONGEST = 1500  # characters of an error that are passed on


def say_what_next(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Log how to continue, write it beside the run, and tell the block that the settings name.

    Whatever goes wrong here is logged, and changes nothing about the run.
    """
    _learn_keys(flow_run)
    logger = flow_run_logger(flow_run, flow)
    logger.error(
        "%s ended as %s. What is finished is kept; `%s` continues from there.",
        flow.name, state.name, redact(continuing_command(flow.name, flow_run.parameters)),
    )  # fmt: skip
    for report in (_write_page, _notify):
        try:
            report(flow, flow_run, state)
        except Exception as err:  # noqa: BLE001 - a report about a failure is not to add another
            name, said = report.__name__.strip("_"), redact(str(err))
            logger.warning("%s: %s: %s", name, type(err).__name__, said)


def describe_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> str:
    """What happened and what to do next, in Markdown, without any known secret."""
    # A key that is cut short would not be recognised any more.
    message = redact((state.message or "no message").strip())[:_LONGEST]
    parameters = flow_run.parameters
    forced = "It was started by force: `--force` does again what is finished, too."
    return redact("\n".join([
        f"# {flow.name} ended as {state.name}", "",
        f"Flow run `{flow_run.name}`:", "", "```", message, "```", "",
        "What is finished is kept. To go on from there:", "",
        "```", continuing_command(flow.name, parameters), "```", "",
        "or as a run of its deployment:", "",
        "```", deployment_command(flow.name, parameters), "```", "",
        *([forced] if parameters.get("force") else []),
        "If the message names a step and an item, mend that first; `clara doctor` looks at the "
        "machine.",
    ]))  # fmt: skip


def _learn_keys(flow_run: FlowRun) -> None:
    """Know the keys that may stand in messages, also where the flow ended before it knew them."""
    parameters = flow_run.parameters
    learn_secrets({})
    with suppress(Exception):  # learn's configuration is one of its own; a broken one is reported
        config = parameters.get("config", DEFAULT_CONFIG)
        learn_secrets(load_config(config, parameters.get("overrides", ())))


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
