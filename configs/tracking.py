"""Settings of MLflow: where runs are recorded, and what of them."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat

from configs.base import Settings
from configs.secrets import REFERENCE, read_secret


class TrackingSettings(Settings):
    """MLflow."""

    uri: str | None = Field(
        default=None,
        description="any tracking URI: http(s), sqlite, postgresql, databricks; `${NAME}` in it is "
        "read from the environment; default: CLARA_TRACKING_URI, or SQLite in the workspace",
    )
    experiment: str = Field(default="clara")
    registered_model: str = Field(default="clara", description="name in the model registry")
    artifact_max_mb: NonNegativeFloat = Field(
        default=20.0, description="a larger result file is linked from the run, not copied to it"
    )
    system_metrics: bool = Field(
        default=True, description="record CPU, memory, disk, network and GPU while a step works"
    )
    system_metrics_every_s: PositiveFloat = Field(
        default=10.0, description="seconds between two samples of them"
    )
    send_wait_s: NonNegativeFloat = Field(
        default=10.0,
        description="how long the end of a flow waits for a server that is slow; what is not sent "
        "by then is sent by the next run, or by `clara status --send`",
    )

    def resolved_uri(self) -> str | None:
        """The address with its references replaced; not to be logged or stored.

        Raises:
            ConfigError: If a variable or Secret block that it names is not there.
        """
        if self.uri is None:
            return None
        return REFERENCE.sub(lambda found: read_secret(found.group()), self.uri)
