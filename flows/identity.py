"""One id for a run: Prefect's page shows MLflow's, and the other way round."""

from __future__ import annotations

import logging
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from tasks.tracking import Tracker

log = logging.getLogger(__name__)


def share_run_id(tracker: Tracker) -> None:
    """Tag the flow run with the pipeline's id, and the pipeline's MLflow run with the flow run's.

    Logs and files carry the same id; where Prefect does not take it, work goes on.
    """
    if not flow_run.id:
        return
    tracker.outbox.add(
        do="tags", ref=tracker.pipeline_id,
        tags={f"prefect.flow_run.{flow_run.flow_name}": str(flow_run.id)},
    )  # fmt: skip
    try:
        with get_client(sync_client=True) as client:
            tags = {*flow_run.tags, f"run:{tracker.pipeline_id}"}
            client.update_flow_run(UUID(flow_run.id), tags=tags)
    except Exception as err:  # noqa: BLE001 - a tag that is missing is no reason to stop
        log.debug("the flow run was not tagged: %s: %s", type(err).__name__, err)
