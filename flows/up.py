"""`clara up` and `clara ui`: the pages of Prefect and MLflow on loopback, and workers behind them.

They end in the reverse order: first the workers, whose flow runs still report to both servers.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from clara_model.training.process import GRACE_S
from configs.load import load_config
from configs.schema import PipelineConfig
from flows.deploy import require_project
from flows.parts import ONE_AT_A_TIME
from flows.runs_under_way import ask_api, cancel_runs, close_runs, wait_for_runs
from flows.services import (
    Running,
    Service,
    answers,
    end_on_signals,
    require_free,
    start,
    stop_all,
    wait_until_up,
    watch,
)
from tasks.tracking import tracking_uri
from tasks.workspace import Workspace

# Who holds a deployment's only place is kept on disk: in memory, a server that is killed would
# forget it, and the place of a run that died with it would never be free again.
PREFECT_SERVER = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    )
}
_HOST = "127.0.0.1"
_LIMIT = 4  # flow runs at once on the CPU pool, where a pipeline waits beside its data steps


def serve_all(
    config: Path,
    overrides: Sequence[str],
    *,
    mlflow_port: int,
    prefect_port: int,
    pools: Sequence[str] = (),
) -> None:
    """Start the servers, make the deployments, start a worker for each pool; end all on Ctrl-C.

    Args:
        config: Says which MLflow database; one that is a server already is not started.
        overrides: Values that replace the file's.
        mlflow_port: Port of the MLflow page.
        prefect_port: Port of the Prefect page and API.
        pools: Pools to work for; without any, only the pages are served.

    Raises:
        LaunchError: If a port is taken, or something does not start or ends by itself.
    """
    settings = load_config(config, overrides)
    if pools:
        require_project()
    logs = Workspace(settings.workspace).logs / "servers"
    servers, pages = _servers(settings, mlflow_port=mlflow_port, prefect_port=prefect_port)
    api = f"{pages['Prefect']}/api"
    environment = {"PREFECT_API_URL": api, "CLARA_MLFLOW_PAGE": pages["MLflow"]}
    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    running: list[Running] = []
    with end_on_signals():
        try:
            for service in servers:
                running.append(start(service, logs))
            for server in running:
                wait_until_up(server)
            if pools:
                _deploy(environment, logs)
                for pool in pools:
                    running.append(start(_worker(pool, api, environment), logs))
                for worker in running[len(servers) :]:
                    wait_until_up(worker)
            _tell(console, pages, api, pools)
            watch(running)
        except KeyboardInterrupt:
            pass
        finally:
            _end(running[: len(servers)], running[len(servers) :], api, pools, say)


def _end(
    servers: Sequence[Running],
    workers: Sequence[Running],
    api: str,
    pools: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """First the runs, which save; then the workers; then the servers, which hear of both."""
    runs: list[dict[str, Any]] = []
    in_peace = True
    if workers:
        try:
            runs = cancel_runs(api, pools, say)
            wait_for_runs(worker.process.pid for worker in workers)
        except KeyboardInterrupt:
            in_peace = False
    in_peace = stop_all(workers, say, at_once=not in_peace)
    if workers:
        with suppress(KeyboardInterrupt):
            close_runs(api, pools, runs, say)
    stop_all(servers, say, at_once=not in_peace)


def _servers(
    settings: PipelineConfig, *, mlflow_port: int, prefect_port: int
) -> tuple[list[Service], dict[str, str]]:
    """The servers to start, and the addresses of both pages."""
    pages = {"Prefect": f"http://{_HOST}:{prefect_port}"}
    python = [sys.executable, "-m"]
    listen = ["--host", _HOST, "--port"]
    services = [
        Service(
            "Prefect", [*python, "prefect", "server", "start", *listen, str(prefect_port)],
            lambda: answers(f"{pages['Prefect']}/api/health"), PREFECT_SERVER,
        )
    ]  # fmt: skip
    ports = {"--prefect-port": prefect_port}
    uri = tracking_uri(settings, Workspace(settings.workspace))
    if uri.startswith("http"):
        pages["MLflow"] = uri
    else:
        pages["MLflow"] = f"http://{_HOST}:{mlflow_port}"
        ports["--mlflow-port"] = mlflow_port
        settings.workspace.mkdir(parents=True, exist_ok=True)
        services.append(
            Service(
                "MLflow",
                [*python, "mlflow", "server", *listen, str(mlflow_port),
                 "--workers", "1", "--backend-store-uri", uri],
                lambda: answers(f"{pages['MLflow']}/health"),
                # Its job runner is for what we do not use, and starts many processes.
                {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        )  # fmt: skip
    require_free(ports)
    return services, pages


def _deploy(environment: dict[str, str], logs: Path) -> None:
    """`clara deploy` in a process of its own: Prefect reads the address when it is imported."""
    command = [sys.executable, "-m", "flows.cli", "deploy", "--json"]
    running = start(Service("deploy", command, lambda: False, environment), logs)
    try:
        if running.process.wait() != 0:
            raise running.failure()
    finally:
        if running.process.poll() is None:
            running.process.kill()


def _worker(pool: str, api: str, environment: dict[str, str]) -> Service:
    name = f"{pool}-{socket.gethostname()}"
    limit = 1 if pool == ONE_AT_A_TIME else _LIMIT
    started = time.time()
    return Service(
        f"worker {pool}",
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process",
         "--name", name, "--limit", str(limit)],
        lambda: _has_reported(api, pool, name, started),
        environment,
        orphans_s=GRACE_S + 5.0,  # ranks that are saving
    )  # fmt: skip


def _has_reported(api: str, pool: str, name: str, since: float) -> bool:
    """Whether a worker of this name has sent a heartbeat since a time."""
    try:
        workers = ask_api(f"{api}/work_pools/{pool}/workers/filter", {})
    except OSError:
        return False
    return any(
        worker["name"] == name
        and datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp() >= since
        for worker in workers
    )


def _tell(console: Console, pages: dict[str, str], api: str, pools: Sequence[str]) -> None:
    for name, address in pages.items():
        console.print(f"{name}: {address}", highlight=False)
    if pools:
        console.print(f"Working for pools {', '.join(pools)}. In another terminal:")
        console.print(f"  export PREFECT_API_URL={api}", highlight=False)
        console.print("  prefect deployment run pipeline/pipeline", highlight=False)
    console.print("Ctrl-C ends everything.")
