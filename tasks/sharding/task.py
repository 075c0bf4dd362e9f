"""Prefect skin of shards: each is a task run of the runner that the configuration names."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture, as_completed
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from clara_model.errors import ConfigError
from configs.sharding import ShardingSettings
from tasks.sharding.shards import FanOut


@task(name="shard", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def shard_task(name: str, work: Callable[[], Any]) -> Any:
    """Do one shard of a data step."""
    del name  # names the task run
    return work()


@contextmanager
def open_fan_out(settings: ShardingSettings) -> Iterator[FanOut | None]:
    """Who does shards, for as long as the block; None if nothing is to be cut into shards.

    Raises:
        ConfigError: If the runner's package is not installed.
    """
    if settings.task_runner == "none":
        yield None
        return
    # Workers would each start a server of their own beside the one that a run without
    # a server starts for itself.
    with temporary_settings({PREFECT_API_URL: _api_url()}), build_runner(settings) as runner:

        def run(name: str, work: Callable[[Any], Any], shards: Sequence[Any]) -> Iterator[Any]:
            return _run(runner, settings.workers, name, work, shards)

        yield FanOut(run, settings.shard_size, settings.workers)


def build_runner(settings: ShardingSettings) -> TaskRunner[Any]:
    """Prefect's task runner of the settings.

    Raises:
        ConfigError: If there is none, or its package is not installed.
    """
    if settings.task_runner == "threads":
        return ThreadPoolTaskRunner(max_workers=settings.workers)
    if settings.task_runner == "processes":
        return ProcessPoolTaskRunner(max_workers=settings.workers)
    if settings.task_runner == "dask":
        return _dask_runner(settings)
    if settings.task_runner == "ray":
        return _ray_runner(settings)
    raise ConfigError(f"execution.task_runner {settings.task_runner} names no task runner")


def _dask_runner(settings: ShardingSettings) -> TaskRunner[Any]:
    try:
        import dask
        from prefect_dask import DaskTaskRunner
    except ImportError as err:
        raise _missing("dask", err) from err
    if settings.address is not None:
        return DaskTaskRunner(address=settings.address)
    # Workers read files in processes of their own, which a daemon is not allowed to have.
    dask.config.set({"distributed.worker.daemon": False})
    local = {"n_workers": settings.workers, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=local)


def _ray_runner(settings: ShardingSettings) -> TaskRunner[Any]:
    try:
        from prefect_ray import RayTaskRunner
    except ImportError as err:
        raise _missing("ray", err) from err
    if settings.address is not None:
        return RayTaskRunner(address=settings.address)
    return RayTaskRunner(init_kwargs={"num_cpus": settings.workers, "include_dashboard": False})


def _missing(name: str, err: ImportError) -> ConfigError:
    return ConfigError(
        f"execution.task_runner is {name}, which is not installed ({err}): "
        f"`pip install 'clara-pipeline[{name}]'`, or set it to threads or processes"
    )


def _api_url() -> str:
    """Where the server of this run listens."""
    with get_client(sync_client=True) as client:
        return str(client.api_url)


def _run(
    runner: TaskRunner[Any],
    limit: int,
    name: str,
    work: Callable[[Any], Any],
    shards: Sequence[Any],
) -> Iterator[Any]:
    """Results as they come, of never more than `limit` shards under way."""
    waiting = deque(enumerate(shards, start=1))
    under_way: list[PrefectFuture[Any]] = []
    while waiting or under_way:
        while waiting and len(under_way) < limit:
            number, shard = waiting.popleft()
            title = f"{name} {number} of {len(shards)}"
            # One function: there are no futures in it, and nobody looks for them.
            parameters = {"name": title, "work": partial(work, shard)}
            under_way.append(runner.submit(shard_task, parameters=parameters))
        ended = next(as_completed(under_way))
        under_way.remove(ended)
        yield ended.result()
