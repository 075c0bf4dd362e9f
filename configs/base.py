"""The one base class of all settings: unknown keys forbidden, instances frozen."""

from __future__ import annotations

import os
import re

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

from clara_model.errors import ConfigError

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Settings(BaseModel):
    """Base of every section: a misspelt key is an error, a value never changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EndpointSettings(Settings):
    """An OpenAI-compatible endpoint; `embedded` is the rule-based one on loopback.

    The key itself never stands here, only the name of the environment variable that holds it,
    so a dumped or logged configuration cannot leak it.
    """

    base_url: str = Field(default="embedded", description="`embedded`, or a URL ending in /v1")
    model: str = Field(default="embedded-rules", description="model name sent with each request")
    api_key: str | None = Field(default=None, description="${NAME} of an environment variable")
    concurrency: PositiveInt = Field(default=8, description="requests under way at once")
    timeout_s: PositiveFloat = Field(default=120.0, description="seconds for one request")
    max_retries: int = Field(default=4, ge=0, description="attempts after the first one")

    @field_validator("base_url")
    @classmethod
    def _url_or_embedded(cls, value: str) -> str:
        if value != "embedded" and not value.startswith(("http://", "https://")):
            raise ValueError(f"'{value}' is neither `embedded` nor an http(s) URL")
        return value.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _reference_only(cls, value: str | None) -> str | None:
        # The value is not repeated in the message: it may be a real key.
        if value is not None and not _REFERENCE.fullmatch(value):
            raise ValueError("write ${NAME} and put the key into that environment variable")
        return value

    @property
    def is_embedded(self) -> bool:
        """Whether the rule-based endpoint on loopback is meant."""
        return self.base_url == "embedded"

    def read_api_key(self) -> str | None:
        """The key from the environment, or None where none is configured.

        Raises:
            ConfigError: If the variable that the configuration names is not set.
        """
        if self.api_key is None:
            return None
        name = self.api_key[2:-1]
        value = os.environ.get(name)
        if not value:
            raise ConfigError(f"environment variable {name} is not set: `export {name}=...`")
        return value
