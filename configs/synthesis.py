"""Settings of the synthesis step."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from configs.base import EndpointSettings
from configs.negatives import EmbeddingSettings

REFUSALS = {"en": "The documents do not say.", "zh": "文档中没有说明。"}


class SynthesisSettings(EndpointSettings):
    """Questions, answers and paraphrases about every passage, made and verified by an LLM."""

    simple_questions: PositiveInt = Field(
        default=16, description="one-fact questions a passage, at most; every fact gets one"
    )
    complex_questions: NonNegativeInt = Field(default=4, description="questions joining facts")
    paraphrase: bool = Field(default=True, description="also ask for a paraphrase")
    max_rounds: PositiveInt = Field(
        default=10, description="most times to ask for what is missing or failed"
    )
    min_coverage: float = Field(
        default=0.5, ge=0.0, le=1.0,
        description="share of a passage's facts that one-fact questions must cover to be kept",
    )  # fmt: skip
    joint_share: float = Field(
        default=0.2, ge=0.0, le=1.0,
        description="share of passages asked about together with one that names the same thing",
    )  # fmt: skip
    joint_questions: PositiveInt = Field(default=2, description="questions a pair of passages")
    cross_lingual_share: float = Field(
        default=0.1, ge=0.0, le=1.0,
        description="share of English and Chinese passages also asked about in the other language",
    )  # fmt: skip
    cross_lingual_questions: PositiveInt = Field(
        default=2, description="questions in the other language a passage"
    )
    unanswerable_share: float = Field(
        default=0.1, ge=0.0, le=1.0,
        description="share of passages with a question that nothing there answers",
    )  # fmt: skip
    refusals: dict[str, str] = Field(
        default=REFUSALS,
        description="answer to an unanswerable question by language; en serves those not named",
    )
    teacher: bool = Field(
        default=False, description="answers of stage 2 by the teacher model, from the k documents"
    )
    embedding: EmbeddingSettings = Field(
        default_factory=EmbeddingSettings,
        description="finds questions that mean the same; none configured: equal wording only",
    )
    max_similarity: float = Field(
        default=0.95, gt=0.0, le=1.0, description="cosine above which two questions are the same"
    )
    temperature: float = Field(default=0.3, ge=0.0, le=2.0, description="sampling temperature")
    max_tokens: PositiveInt = Field(default=2000, description="length limit of one reply")
    benchmark_share: float = Field(
        default=0.2, ge=0.0, lt=1.0, description="share of source documents held out as benchmark"
    )

    @field_validator("refusals")
    @classmethod
    def _own_before_ours(cls, given: dict[str, str]) -> dict[str, str]:
        empty = [language for language, text in given.items() if not text.strip()]
        if empty:
            raise ValueError(f"the refusal for {', '.join(empty)} is empty")
        return REFUSALS | given

    def refusal_in(self, language: str) -> str:
        """What an unanswerable question is answered with."""
        return self.refusals.get(language, self.refusals["en"])
