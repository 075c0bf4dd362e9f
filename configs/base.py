"""The one base class of all settings: unknown keys forbidden, instances frozen."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from configs.providers import PRESETS, Price, Provider, StructuredOutput, recognise
from configs.secrets import REFERENCE, read_secret

Role = Literal["questions", "verification", "teacher", "vision"]
# Keys of an endpoint that change how fast or how dearly replies come, but not what they say.
ENDPOINT_NEUTRAL = frozenset({
    "api_key", "concurrency", "timeout_s", "connect_timeout_s", "max_retries",
    "requests_per_minute", "tokens_per_minute", "max_cost", "max_requests", "prices",
})  # fmt: skip


class Settings(BaseModel):
    """Base of every section: a misspelt key is an error, a value never changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RoleModels(Settings):
    """Models for single roles; one that is not named is the section's `model`."""

    questions: str | None = Field(default=None, description="writes questions and paraphrases")
    verification: str | None = Field(default=None, description="checks pairs against passages")
    teacher: str | None = Field(default=None, description="writes the answers to learn from")
    vision: str | None = Field(default=None, description="describes pictures")


class ModelPrice(Settings):
    """What a model costs, in US dollars per million tokens."""

    prompt: NonNegativeFloat = Field(description="per million tokens sent")
    completion: NonNegativeFloat = Field(description="per million tokens received")


class EndpointSettings(Settings):
    """An OpenAI-compatible endpoint; `embedded` is the rule-based one on loopback.

    A provider fills in what is left out: address, key variable, model. The key itself never
    stands here, only the name of the environment variable that holds it, so a dumped or logged
    configuration cannot leak it.
    """

    provider: Provider = Field(
        default="embedded", description="preset of defaults; left out, base_url tells it"
    )
    base_url: str = Field(default="embedded", description="`embedded`, or a URL ending in /v1")
    model: str = Field(default="embedded-rules", description="model name sent with each request")
    models: RoleModels = Field(default_factory=RoleModels, description="other models by role")
    api_key: str | None = Field(
        default=None, description="${NAME} of a variable, or ${secret:NAME}"
    )
    structured_output: Literal["auto"] | StructuredOutput = Field(
        default="auto", description="how far the endpoint holds replies to a schema"
    )
    extra_body: dict[str, Any] = Field(
        default={}, description="further fields of every request, e.g. enable_thinking: false"
    )
    concurrency: PositiveInt = Field(default=8, description="most requests under way at once")
    requests_per_minute: PositiveInt | None = Field(
        default=None, description="most requests a minute; default: the provider's usual limit"
    )
    tokens_per_minute: PositiveInt | None = Field(
        default=None, description="most tokens a minute, sent and received"
    )
    timeout_s: PositiveFloat = Field(default=120.0, description="seconds for one request")
    connect_timeout_s: PositiveFloat = Field(default=10.0, description="seconds to be connected")
    max_retries: int = Field(default=6, ge=0, description="attempts after the first one")
    max_cost: PositiveFloat | None = Field(
        default=None, description="US dollars this section may cost in this workspace, in all"
    )
    max_requests: PositiveInt | None = Field(
        default=None, description="requests this section may send in this workspace, in all"
    )
    prices: dict[str, ModelPrice] = Field(
        default={}, description="US dollars per million tokens, by model; over the preset's"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        values = dict(given)
        address = values.get("base_url", "embedded")
        provider = values.get("provider")
        if provider is None:
            values["provider"] = recognise(str(address))
            return values
        preset = PRESETS.get(provider)
        if preset is None or provider == "embedded":
            return values  # an unknown name is reported by the field
        if address == "embedded":  # the default, or what a file says that `--set` overrides
            if preset.base_url is None:
                raise ValueError(f"provider '{provider}' needs a base_url ending in /v1")
            values["base_url"] = preset.base_url
        if values.get("model", "embedded-rules") == "embedded-rules":
            if preset.model is None:
                raise ValueError(f"provider '{provider}' needs the name of a `model` that it has")
            values["model"] = preset.model
        if "api_key" not in values and preset.key_variable is not None:
            values["api_key"] = f"${{{preset.key_variable}}}"
        return values

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
        if value is not None and not REFERENCE.fullmatch(value):
            raise ValueError(
                "write ${NAME} and put the key into that environment variable, or ${secret:NAME} "
                "of a Prefect Secret block"
            )
        return value

    @model_validator(mode="after")
    def _embedded_has_no_address(self) -> EndpointSettings:
        if self.provider == "embedded" and not self.is_embedded:
            raise ValueError("provider 'embedded' has no base_url: leave out one of the two")
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether the rule-based endpoint on loopback is meant."""
        return self.base_url == "embedded"

    def model_for(self, role: Role) -> str:
        """The model of a role."""
        return getattr(self.models, role) or self.model

    def price_of(self, model: str) -> Price | None:
        """What a model costs by the settings or the preset; None if unknown."""
        own = self.prices.get(model)
        if own is not None:
            return Price(own.prompt, own.completion)
        return PRESETS[self.provider].prices.get(model)

    @property
    def structured_ability(self) -> StructuredOutput:
        """How far the endpoint holds replies to a schema, by the settings or the preset."""
        if self.structured_output != "auto":
            return self.structured_output
        return PRESETS[self.provider].structured_output

    @property
    def request_rate(self) -> int | None:
        """Most requests a minute, by the settings or the preset; None: as many as come."""
        return self.requests_per_minute or PRESETS[self.provider].requests_per_minute

    @property
    def further_fields(self) -> dict[str, Any]:
        """What every request carries besides, by the preset and the settings."""
        return {**PRESETS[self.provider].extra_body, **self.extra_body}

    def read_api_key(self) -> str | None:
        """The key from the environment or a Secret block, or None where none is configured.

        Raises:
            ConfigError: If what the configuration names is not there.
        """
        return None if self.api_key is None else read_secret(self.api_key)
