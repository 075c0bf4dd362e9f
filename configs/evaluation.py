"""Settings of the evaluation step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from configs.base import EndpointSettings, Settings


class JudgeSettings(EndpointSettings):
    """An LLM that judges answers, beside the metrics."""

    enabled: bool = Field(default=False, description="ask a judge about every answer")
    max_tokens: PositiveInt = Field(default=300, description="length limit of one judgement")
    max_document_characters: PositiveInt = Field(
        default=12_000, description="of the documents shown to the judge; what exceeds is cut"
    )

    @model_validator(mode="after")
    def _by_a_model(self) -> JudgeSettings:
        if self.enabled and self.is_embedded:
            raise ValueError(
                "the embedded endpoint goes by rules and cannot judge; give base_url and model of "
                "a language model"
            )
        return self


class ReconstructionSettings(Settings):
    """Held-out passages that every CLaRa model writes anew from their memories."""

    passages: NonNegativeInt = Field(
        default=50, description="gold passages a benchmark, at most; 0 asks for none"
    )
    bert_score: bool = Field(default=False, description="score them by BERTScore as well")
    bert_score_model: str = Field(
        default="FacebookAI/roberta-large", description="its encoder: a folder or hub id"
    )
    bert_score_layer: NonNegativeInt = Field(
        default=17, description="the encoder's layer; another encoder needs its own"
    )


class EvaluationSettings(Settings):
    """Held-out questions, public benchmarks, systems and settings."""

    systems: list[str] = Field(
        default=[],
        description="what to compare instead of the workspace's stages beside the bare decoder: "
        "stage1, stage2, stage3, checkpoint folders, or lines such as bm25+text:FOLDER "
        "(docs/systems.md); results go to evaluations/NAME",
    )
    base_model: str | None = Field(
        default=None,
        description="folder or hub id: the decoder of named CLaRa checkpoints whose config.json "
        "names no folder that is here",
    )
    name: str | None = Field(
        default=None,
        pattern=r"^[\w][\w.-]*$",
        description="of this evaluation: results go to evaluations/NAME of the workspace",
    )
    held_out: list[Literal["documents", "unanswerable", "world"]] = Field(
        default=["documents", "unanswerable", "world"],
        description="held-out questions of the workspace to ask",
    )
    k: PositiveInt | None = Field(
        default=None, description="documents the generator reads; default: the model's own"
    )
    rerank_depth: PositiveInt = Field(default=20, description="candidates that rerank:ID reads")
    lingua_rate: float = Field(
        default=0.25, gt=0, le=1, description="share of the tokens that lingua keeps"
    )
    cost: bool = Field(
        default=False, description="measure tokens, seconds and memory of every system as well"
    )
    cost_questions: PositiveInt = Field(default=8, description="questions that are timed")
    settings: list[Literal["normal", "oracle"]] = Field(default=["normal", "oracle"], min_length=1)
    max_questions: PositiveInt = Field(default=200, description="questions a benchmark, at most")
    max_new_tokens: PositiveInt = Field(default=32, description="length limit of an answer")
    batch_size: PositiveInt = Field(default=32, description="questions per generation batch")
    bootstrap_samples: PositiveInt = Field(default=1000, description="for confidence intervals")
    benchmarks: list[str] = Field(
        default=[], description="public benchmarks beside the held-out questions: files, or names"
    )
    benchmarks_folder: Path = Field(
        default=Path("data/benchmarks"), description="where benchmarks given by name are looked for"
    )
    num_candidates: PositiveInt = Field(
        default=20, description="N, candidates a question of a public benchmark"
    )
    retriever: str = Field(
        default="bm25",
        pattern=r"^(bm25|dense:.+|index(:.+)?)$",
        description="finds them: bm25, dense:MODEL (sentence-transformers), or index (this model's "
        "own memories; index:FOLDER for another checkpoint)",
    )
    corpus: Path | None = Field(
        default=None, description="folder of passages to retrieve from; default: the own ones"
    )
    endpoint: EndpointSettings = Field(
        default_factory=EndpointSettings, description="where openai:MODEL systems are asked"
    )
    judge: JudgeSettings = Field(default_factory=JudgeSettings)
    reconstruction: ReconstructionSettings = Field(default_factory=ReconstructionSettings)
