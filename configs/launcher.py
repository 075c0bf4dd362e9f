"""The part of the schema that says how training processes come up on several machines."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from configs.base import Settings

DEFAULT_PORT = 29500


class LauncherSettings(Settings):
    """What starts the ranks; on one machine nothing has to be set."""

    kind: Literal["torchrun", "deepspeed", "slurm"] = Field(
        default="torchrun",
        description="torchrun (several nodes meet at `address`), DeepSpeed's launcher with a "
        "`hostfile`, or srun within a Slurm job",
    )
    nodes: PositiveInt = Field(default=1, description="machines, each with num_processes ranks")
    address: str | None = Field(
        default=None,
        pattern=r"^[^:\s]+(:\d+)?$",
        description="HOST or HOST:PORT of the first machine, where the others meet it; Slurm knows",
    )
    hostfile: Path | None = Field(
        default=None, description="DeepSpeed's list of machines, a line each: `worker-1 slots=8`"
    )
    join_timeout_s: PositiveInt = Field(
        default=600, description="how long machines wait for each other at the start of a stage"
    )

    @model_validator(mode="after")
    def _enough_is_known(self) -> LauncherSettings:
        if self.kind == "torchrun" and self.nodes > 1 and self.address is None:
            raise ValueError(
                f"{self.nodes} nodes meet at the first one's address: set address to its HOST:PORT"
            )
        if (self.kind == "deepspeed") != (self.hostfile is not None):
            raise ValueError(
                f"kind is {self.kind} and hostfile {self.hostfile}: DeepSpeed's launcher needs a "
                "hostfile, and the others use none"
            )
        return self

    @property
    def needs_joiners(self) -> bool:
        """Whether the other machines' ranks are started there."""
        return self.kind == "torchrun" and self.nodes > 1

    @property
    def host_and_port(self) -> tuple[str | None, int]:
        """Where ranks meet: the host, None if the launcher finds it, and the port."""
        host, _, port = (self.address or "").partition(":")
        return host or None, int(port or DEFAULT_PORT)
