"""Runs whose machine is gone: Prefect goes on calling them running; their step's lease tells."""

from __future__ import annotations

import logging
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from configs.schema import PipelineConfig
from flows.continuing import continuing_command
from flows.parts import Part
from tasks.leases import Standstill, describe_lease
from tasks.travel.mirror import open_leases
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

# After one expiry a worker that waits takes the step over, and the lease moves again: only a lease
# that outlives several has nobody left.
_EXPIRIES = 5
_ASKED = (StateType.RUNNING, StateType.CANCELLING)


class LossWatch:
    """Watches the leases of a part's steps while its run is said to go on.

    A lease that was there before the run, and has not moved since, says nothing about it.
    """

    def __init__(self, part: Part, settings: PipelineConfig) -> None:
        self._part = part
        self._leases = open_leases(settings, Workspace(settings.workspace))
        self._after_s = _EXPIRIES * settings.execution.lease_s
        self._seen = {step: Standstill(self._after_s) for step in part.steps}
        self._before = {step: self._read(step) for step in part.steps}

    def find_loss(self, run: FlowRun) -> str | None:
        """Why a run is lost, in a sentence; None while it may live, or nothing can be known."""
        if run.state is None or run.state.type not in _ASKED:
            return None
        for step, seen in self._seen.items():
            text = self._read(step)
            if seen.has_lasted(text) and text != self._before[step]:
                who = describe_lease(text) or "its worker"
                return f"{step}: {who} has given no sign of life for {self._after_s:.0f} s"
        return None

    def declare_lost(self, client: SyncPrefectClient, run_id: UUID, why: str) -> FlowRun:
        """Tell the server that a run has crashed, so that its deployment's place is free again."""
        run = client.read_flow_run(run_id)
        if run.state is not None and run.state.is_final():
            return run
        command = continuing_command(self._part.name, run.parameters)
        message = f"{why}. What is finished is kept; `{command}` continues from there."
        client.set_flow_run_state(run_id, Crashed(message=message), force=True)
        return client.read_flow_run(run_id)

    def _read(self, step: str) -> str | None:
        try:
            return self._leases.read(step)
        except Exception as err:  # noqa: BLE001 - of any store; unread, a lease tells nothing
            log.debug("%s: its lease cannot be read now: %s", step, err)
            return None
