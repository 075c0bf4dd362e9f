"""`clara deploy`: work pools and the deployments of prefect.yaml, made or brought up to date."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from rich import box
from rich.console import Console
from rich.table import Table

from clara_model.errors import ConfigError, LaunchError
from flows.parts import ONE_AT_A_TIME

_POOLS = {
    "cpu": "data steps, and pipelines that send their stages away",
    ONE_AT_A_TIME: "training, index and evaluation: start its workers with --limit 1",
}
_FILE = Path("prefect.yaml")
_LAST_LINES = 20


def deploy_all(*, as_json: bool) -> None:
    """Make what is missing on the configured server, and show what is there then.

    Raises:
        ConfigError: If no server is configured, or there is no prefect.yaml here.
        LaunchError: If the server does not answer, or refuses; holds its last words.
    """
    address = get_current_settings().api.url
    if address is None:
        raise ConfigError(
            "no Prefect server is configured: `clara up` starts one; or set PREFECT_API_URL to "
            "yours, such as http://127.0.0.1:4200/api"
        )
    require_project()
    with get_client(sync_client=True) as client:
        if failure := client.api_healthcheck():
            raise LaunchError(f"{address} does not answer: {type(failure).__name__}: {failure}")
        for name, description in _POOLS.items():
            _make_pool(client, name, description)
        active = _read_schedules(client)
        _deploy_file()
        # The file says how a schedule begins; whether it is on is decided on the page.
        _restore_schedules(client, active)
        deployed = _list_deployments(client)
    if as_json:
        sys.stdout.write(json.dumps({"api": address, "deployments": deployed}) + "\n")
        return
    table = Table(title=f"Deployments on {address}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("deployment", "pool", "queue", "schedule"):
        table.add_column(column)
    for row in deployed:
        table.add_row(row["name"], row["pool"], row["queue"], row["schedule"])
    Console().print(table)


def require_project() -> None:
    """Refuse to go on outside of the project's folder.

    Raises:
        ConfigError: If there is no prefect.yaml here.
    """
    if not _FILE.is_file():
        raise ConfigError(f"there is no {_FILE} in {Path.cwd()}: run this in the project's folder")


def _make_pool(client: SyncPrefectClient, name: str, description: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process", description=description))


def _deploy_file() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env={**os.environ, "PREFECT_LOGGING_LEVEL": "WARNING"},
    )  # fmt: skip
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise LaunchError(
            f"`prefect deploy --all` ended with exit code {done.returncode}; done again, "
            f"`clara deploy` goes on where it stopped.\n{tail}"
        )


def _read_schedules(client: SyncPrefectClient) -> dict[tuple[UUID, str], bool]:
    """Whether each schedule that has a slug is on, by deployment and slug."""
    return {
        (deployment.id, schedule.slug): bool(schedule.active)
        for deployment in client.read_deployments()
        for schedule in deployment.schedules
        if schedule.slug
    }


def _restore_schedules(client: SyncPrefectClient, active: dict[tuple[UUID, str], bool]) -> None:
    for deployment in client.read_deployments():
        for schedule in deployment.schedules:
            before = active.get((deployment.id, schedule.slug or ""))
            if before is not None and before != schedule.active:
                client.update_deployment_schedule(deployment.id, schedule.id, active=before)


def _list_deployments(client: SyncPrefectClient) -> list[dict[str, str]]:
    rows = []
    for deployment in client.read_deployments():
        schedules = (
            f"{getattr(schedule.schedule, 'cron', schedule.slug)} "
            f"({'on' if schedule.active else 'off'})"
            for schedule in deployment.schedules
        )
        rows.append({
            "name": f"{client.read_flow(deployment.flow_id).name}/{deployment.name}",
            "pool": deployment.work_pool_name or "",
            "queue": deployment.work_queue_name or "",
            "schedule": ", ".join(schedules),
        })  # fmt: skip
    return sorted(rows, key=lambda row: row["name"])
