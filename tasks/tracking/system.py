"""System metrics of a step, under MLflow's own names, so that its page shows them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from configs.tracking import TrackingSettings

log = logging.getLogger(__name__)


@contextmanager
def sample_system(
    settings: TrackingSettings, record: Callable[[dict[str, Any]], None], *, since: float
) -> Iterator[None]:
    """Sample the machine from a thread while the block works.

    Args:
        settings: Whether, and how often.
        record: Is given metric lines; their "step" is in seconds.
        since: When steps began, in seconds since 1970: a continued run goes on counting.
    """
    if not settings.system_metrics:
        yield
        return
    ended = threading.Event()

    def work() -> None:
        try:
            # The first sample comes after one interval, so a short step costs nothing.
            if ended.wait(settings.system_metrics_every_s):
                return
            monitors = _monitors()
            while True:
                record({"step": int(time.time() - since), **_sample(monitors)})
                if ended.wait(settings.system_metrics_every_s):
                    return
        except Exception as err:  # noqa: BLE001 - a gauge that fails is no reason to stop
            log.warning("system metrics are not recorded: %s: %s", type(err).__name__, err)

    thread = threading.Thread(target=work, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1.0)


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        monitors.append(GPUMonitor())
    except Exception as err:  # noqa: BLE001 - without a GPU or its library it raises as it likes
        log.debug("no GPU is sampled: %s", err)
    return monitors


def _sample(monitors: list[Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        values |= {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
        monitor.clear_metrics()
    return values
