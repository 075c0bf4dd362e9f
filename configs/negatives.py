"""Settings of hard negatives: where they come from, and what is too close to be one."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from configs.base import ENDPOINT_NEUTRAL, EndpointSettings, Settings

# What endpoints of chat models can be told, and requests for embeddings do not heed.
_FOR_CHAT_ONLY = (
    "max_cost", "max_requests", "requests_per_minute", "tokens_per_minute", "extra_body",
)  # fmt: skip
STRATEGIES = ("bm25", "dense", "memory", "random", "same_document")


class StrategyShares(Settings):
    """Which share of a question's negatives each strategy finds; together 1."""

    bm25: float = Field(default=0.0, ge=0.0, le=1.0, description="share the question's words")
    dense: float = Field(default=0.0, ge=0.0, le=1.0, description="nearest by text embeddings")
    memory: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="nearest by the model's own compressed passages after stage 2; stage 3's "
        "rows are then mined again",
    )
    random: float = Field(default=0.0, ge=0.0, le=1.0, description="any passage")
    same_document: float = Field(
        default=0.0, ge=0.0, le=1.0, description="neighbours of the positive in its document"
    )

    @model_validator(mode="after")
    def _a_whole(self) -> StrategyShares:
        total = sum(self.model_dump().values())
        if abs(total - 1.0) > 1e-3:
            raise ValueError(f"the shares sum to {total:g}, not to 1")
        return self


class EmbeddingSettings(EndpointSettings):
    """Text embeddings: an OpenAI-compatible endpoint, or a sentence-transformers model here."""

    model: str = Field(default="text-embedding-3-small", description="model name at the endpoint")
    local_model: str | None = Field(
        default=None,
        description="a folder or hub id for sentence-transformers (extra `dense`), in the "
        "endpoint's place",
    )
    texts_per_request: PositiveInt = Field(default=64, description="texts embedded at once")
    concurrency: PositiveInt = Field(default=4, description="requests under way at once")
    query_prefix: str = Field(default="", description="put before questions (E5: `query: `)")
    passage_prefix: str = Field(default="", description="put before passages (E5: `passage: `)")

    @model_validator(mode="before")
    @classmethod
    def _no_chat_model(cls, given: Any) -> Any:
        """A provider's usual model is one to chat with: here the name has to be given."""
        if not isinstance(given, dict) or "model" in given:
            return given
        if given.get("provider", "embedded") != "embedded":
            raise ValueError("name the `model` that makes embeddings")
        return {**given, "model": cls.model_fields["model"].default}

    @model_validator(mode="after")
    def _nothing_that_is_not_heeded(self) -> EmbeddingSettings:
        fields = type(self).model_fields
        dead = [name for name in _FOR_CHAT_ONLY if getattr(self, name) != fields[name].default]
        if dead:
            raise ValueError(
                f"{', '.join(dead)}: not heeded where texts are embedded; leave it out. These "
                "requests are limited by concurrency and texts_per_request; each text is sent once"
            )
        return self

    @property
    def is_there(self) -> bool:
        """Whether a model is named: the embedded endpoint has no embeddings."""
        return self.local_model is not None or not self.is_embedded


class NegativesSettings(Settings):
    """Candidates beside the positives in stages 2 and 3 and in the benchmark."""

    strategies: StrategyShares = Field(default_factory=lambda: StrategyShares(bm25=1.0))
    num_candidates: PositiveInt = Field(default=20, description="N, documents per question")
    near_duplicate: float = Field(
        default=0.8, gt=0.0, le=1.0, description="token overlap (Jaccard) that counts as the same"
    )
    max_relative_score: PositiveFloat = Field(
        default=0.95,
        description="what scores higher than this share of the positive's own score is no negative",
    )
    exact_search_up_to: PositiveInt = Field(
        default=200_000, description="passages; more are searched through an approximate index"
    )
    dense: EmbeddingSettings = Field(default_factory=EmbeddingSettings)
    llm_check: bool = Field(
        default=False, description="have `judge` look for candidates that answer the question"
    )
    judge: EndpointSettings | None = Field(
        default=None, description="who looks; default: the endpoint of `synthesis`"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_strategy(cls, values: Any) -> Any:
        """`strategy: bm25` stands for all of the share."""
        if not isinstance(values, dict) or "strategy" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "strategy"}
        if "strategies" in rest:
            raise ValueError("set either `strategy` or `strategies`, not both")
        return {**rest, "strategies": {values["strategy"]: 1.0}}

    @field_validator("strategies", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        unknown = set(value) - set(STRATEGIES) if isinstance(value, dict) else set()
        if unknown:
            raise ValueError(
                f"there is no strategy {', '.join(sorted(map(str, unknown)))}; there are "
                f"{', '.join(STRATEGIES)}"
            )
        return value

    @model_validator(mode="after")
    def _vectors_can_be_made(self) -> NegativesSettings:
        if self.strategies.dense > 0 and not self.dense.is_there:
            raise ValueError(
                "negatives.strategies.dense is above 0: set negatives.dense.local_model, or "
                "negatives.dense.base_url and model of an endpoint with /embeddings"
            )
        return self

    def decisive(self, default_judge: EndpointSettings) -> dict[str, Any]:
        """The settings that decide which negatives are found, as JSON."""
        values: dict[str, Any] = self.model_dump(
            mode="json",
            exclude={
                "dense": set(ENDPOINT_NEUTRAL | {"texts_per_request"}),
                "judge": set(ENDPOINT_NEUTRAL),
            },
        )
        if self.llm_check:
            judge = self.judge or default_judge
            values["judged_by"] = [judge.base_url, judge.model_for("verification")]
        return values
