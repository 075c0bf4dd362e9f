"""Where a part of the pipeline runs: in this process, or on a worker that serves its deployment."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import cast

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Cancelling
from prefect.utilities.urls import url_for

from clara_model.errors import ConfigError, LaunchError
from configs.schema import PipelineConfig
from flows.lost_runs import LossWatch
from flows.parts import ONE_AT_A_TIME, Part, load_flow, worker_command

log = logging.getLogger(__name__)

_REMIND_S = 300.0  # between two lines that say that no worker has come yet


def run_part(
    part: Part, config: str, overrides: Sequence[str], force: bool, settings: PipelineConfig
) -> None:
    """Run one part to its end, where the settings say.

    Raises:
        ConfigError: If it is to be sent away, and there is no server or no deployment.
        LaunchError: If it was sent away and did not complete, or its machine is gone; holds the
            message of its run.
    """
    if settings.execution.dispatch == "process" or _holds_its_place(part):
        load_flow(part.name)(config, list(overrides), force)
        return
    parameters = {"config": config, "overrides": list(overrides), "force": force}
    started = cast(
        FlowRun, run_deployment(f"{part.name}/{part.name}", parameters=parameters, timeout=0)
    )
    log.info("%s: sent to pool '%s' (%s)", part.name, started.work_pool_name, url_for(started))
    ended = _wait(part, started, settings)
    if ended.state is None or not ended.state.is_completed():
        raise LaunchError(_describe(part, ended))


def _holds_its_place(part: Part) -> bool:
    """Whether this run is on the pool where the part would go, and alone there."""
    if get_current_settings().api.url is None:
        raise ConfigError(
            "execution.dispatch: deployments needs a Prefect server and workers: start them by "
            "`clara up`, and set PREFECT_API_URL to the address that it prints"
        )
    name = f"{part.name}/{part.name}"
    try:
        with get_client(sync_client=True) as client:
            pool = client.read_deployment_by_name(name).work_pool_name
    except ObjectNotFound as err:
        raise ConfigError(f"the server has no deployment {name}: `clara deploy` makes it") from err
    context = FlowRunContext.get()
    ours = context.flow_run.work_pool_name if context and context.flow_run else None
    return pool == ours == ONE_AT_A_TIME


def _wait(part: Part, run: FlowRun, settings: PipelineConfig) -> FlowRun:
    """The run when it has ended; if this process is stopped meanwhile, so is the run."""
    said = started = time.monotonic()
    watch = LossWatch(part, settings)
    with get_client(sync_client=True) as client:
        try:
            while True:
                run = client.read_flow_run(run.id)
                if run.state is not None and run.state.is_final():
                    return run
                if loss := watch.find_loss(run):
                    return watch.declare_lost(client, run.id, loss)
                if _waits(run) and time.monotonic() - said > _REMIND_S:
                    said = time.monotonic()
                    log.warning(
                        "%s has waited %.0f minutes for a worker: `%s`",
                        part.name, (said - started) / 60,
                        worker_command(run.work_pool_name or ""),
                    )  # fmt: skip
                time.sleep(settings.execution.poll_s)
        except BaseException:
            _cancel(client, run)
            raise


def _waits(run: FlowRun) -> bool:
    return run.state is not None and run.state.type == StateType.SCHEDULED


def _cancel(client: SyncPrefectClient, run: FlowRun) -> None:
    try:
        client.set_flow_run_state(run.id, Cancelling())
        log.info("asked run '%s' to stop; what it has finished is kept", run.name)
    except Exception as err:  # noqa: BLE001 - what stops this process is what is to be told
        log.warning("run '%s' goes on: %s: %s", run.name, type(err).__name__, err)


def _describe(part: Part, run: FlowRun) -> str:
    state = run.state
    name = state.name if state else "unknown"
    message = (state.message if state else None) or "no message"
    place = url_for(run) or f"flow run {run.id}"
    return f"{part.name} ended as {name} on pool '{run.work_pool_name}': {message}\n({place})"
