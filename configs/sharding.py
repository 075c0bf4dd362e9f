"""The part of the schema that says where the shards of a data step are done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from configs.base import Settings

TaskRunner = Literal["none", "threads", "processes", "dask", "ray"]


class ShardingSettings(Settings):
    """Data steps cut into shards, and the Prefect task runner that does them."""

    workers: PositiveInt = Field(
        default=2, description="worker processes of data steps; with a task runner, shards at once"
    )
    task_runner: TaskRunner = Field(
        default="none",
        description="who does shards of files, pictures, passages and questions: none (no shards), "
        "or Prefect's runner of threads, processes, Dask or Ray (extras `dask` and `ray`)",
    )
    address: str | None = Field(
        default=None,
        min_length=1,
        description="running Dask or Ray cluster, tcp://HOST:8786 or ray://HOST:10001; left out, "
        "one is started here",
    )
    shard_size: PositiveInt = Field(
        default=64, description="files, pictures or passages a shard; questions go by 512"
    )

    @model_validator(mode="after")
    def _address_of_a_cluster(self) -> ShardingSettings:
        if self.address is not None and self.task_runner not in ("dask", "ray"):
            raise ValueError(
                f"address is {self.address}, but task_runner {self.task_runner} has none; "
                "set task_runner to dask or ray, or remove address"
            )
        return self
