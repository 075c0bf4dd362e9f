"""`clara ui`: the MLflow and the Prefect page on loopback, until Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from clara_model.errors import LaunchError
from configs.load import load_config
from tasks.tracking import tracking_uri
from tasks.workspace import Workspace

_START_S = 90.0


def serve_pages(
    config: Path, overrides: Sequence[str], *, mlflow_port: int, prefect_port: int
) -> None:
    """Start both servers, wait until they answer, print their addresses, stop both on Ctrl-C.

    Raises:
        LaunchError: If a server does not come up; names its port and how to choose another.
    """
    settings = load_config(config, overrides)
    workspace = Workspace(settings.workspace)
    console = Console()
    mlflow = (
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port",
         str(mlflow_port), "--backend-store-uri", tracking_uri(settings, workspace)]
    )  # fmt: skip
    prefect = (
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port",
         str(prefect_port)]
    )  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    servers = {
        "MLflow": (mlflow, f"http://127.0.0.1:{mlflow_port}", "/health", "--mlflow-port"),
        "Prefect": (prefect, f"http://127.0.0.1:{prefect_port}", "/api/health", "--prefect-port"),
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command, *_ in servers.values():
            processes.append(
                subprocess.Popen(
                    command, env=environment,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
        for process, (name, (_, address, health, option)) in zip(
            processes, servers.items(), strict=True
        ):
            _wait_until_up(process, name, address + health, option)
            console.print(f"{name}: {address}")
        console.print("Ctrl-C stops both.")
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
        raise LaunchError("a server stopped by itself; run its command alone to see why")
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def _wait_until_up(process: subprocess.Popen[bytes], name: str, address: str, option: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LaunchError(f"{name} did not start; is its port taken? Choose one by {option}")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise LaunchError(f"{name} did not answer at {address} within {_START_S:.0f} s")
