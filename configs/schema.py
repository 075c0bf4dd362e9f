"""The schema of a configuration file: one section a step, defaults that fit a laptop."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from clara_model.base.settings import BuiltInSettings
from configs.base import EndpointSettings, Settings
from configs.evaluation import EvaluationSettings
from configs.negatives import NegativesSettings
from configs.places import place_workspace
from configs.sharding import ShardingSettings
from configs.synthesis import SynthesisSettings
from configs.tracking import TrackingSettings
from configs.training import TrainingSettings


class ExtractionSettings(Settings):
    """Documents to Markdown text and images (Docling, RapidOCR)."""

    input: Path = Field(default=Path("data/samples"), description="a file, or a folder (recursive)")
    mode: Literal["native", "layout", "auto"] = Field(
        default="native",
        description="of PDFs: the text layer and rules, without models; Docling's layout and table "
        "models; or auto: layout if it can run here, else native",
    )
    artifacts_path: Path | None = Field(
        default=None,
        description="folder of Docling's models for layout, where there is no network; made by "
        "`docling-tools models download layout tableformer -o DIR`",
    )
    timeout_s: PositiveFloat = Field(
        default=120.0,
        description="seconds for one file; waits for a busy processor do not count, up to five "
        "times as many by the clock",
    )
    memory_mb: PositiveInt = Field(
        default=4096,
        description="memory that a worker process may fill; watched ten times a second",
    )
    max_pages: PositiveInt = Field(default=2000, description="a file with more pages is set aside")
    max_file_mb: PositiveInt = Field(default=200, description="a larger file is set aside")
    min_image_side: PositiveInt = Field(
        default=48, description="pixels; smaller embedded images are decoration and set aside"
    )
    ocr: bool = Field(default=True, description="read pages without a text layer with RapidOCR")
    ocr_dpi: PositiveInt = Field(default=150, description="resolution of pages rendered for OCR")


class CaptioningSettings(EndpointSettings):
    """Images to text through a vision model."""

    enabled: bool = Field(default=True, description="off: images leave a neutral mark")
    max_side: PositiveInt = Field(default=1280, description="pixels; larger images are scaled down")
    max_pixels: PositiveInt = Field(
        default=60_000_000, description="larger images are set aside undecoded"
    )
    jpeg_quality: PositiveInt = Field(default=88, le=95, description="JPEG quality sent")
    max_tokens: PositiveInt = Field(default=800, description="length limit of one caption")
    ocr_hint: bool = Field(
        default=True,
        description="send the text that RapidOCR reads along; not to the embedded endpoint",
    )
    skip_decoration: bool = Field(default=True, description="skip icons, rules, blanks, logos")
    icon_side: PositiveInt = Field(default=56, description="pixels; up to this it is an icon")
    rule_aspect: PositiveFloat = Field(default=20.0, description="so long and thin is a rule")
    logo_side: PositiveInt = Field(default=400, description="pixels; a logo is no larger")
    logo_uses: PositiveInt = Field(default=4, description="shown so often, a small one is a logo")


class ModelSettings(Settings):
    """The decoder, its adapters and the compression."""

    base: str = Field(default="built-in", description="`built-in`, a folder, or a hub id")
    trust_remote_code: bool = Field(default=False, description="run code shipped with the base")
    built_in: BuiltInSettings = Field(default_factory=BuiltInSettings)
    doc_max_length: PositiveInt = Field(default=256, description="L, document tokens compressed")
    compr_rate: PositiveInt = Field(default=32, description="r; a document becomes L // r vectors")
    generation_top_k: PositiveInt = Field(default=5, description="k, documents the generator reads")
    different_mem_tokens: bool = Field(default=True, description="one token per memory slot")
    memory_init: Literal["default", "normal"] = Field(
        default="default", description="memory-token embeddings: vocabulary statistics or N(0, .02)"
    )
    lora_r: PositiveInt = Field(default=16, description="LoRA rank")
    lora_alpha: PositiveInt | None = Field(default=None, description="default: twice the rank")
    lora_dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="LoRA dropout")
    lora_targets: list[str] | None = Field(
        default=None, description="last name parts of adapted layers; default: all linear layers"
    )
    train_also: list[str] = Field(
        default=[],
        description="parameters of the decoder that stages 1 and 2 train beside LoRA, as regular "
        "expressions on their names, e.g. norm",
    )
    quantization: Literal["none", "8bit", "4bit"] = Field(
        default="none", description="bitsandbytes precision of the frozen base (QLoRA; needs a GPU)"
    )
    attention: Literal["auto", "flash_attention_2", "sdpa", "eager"] = Field(
        default="auto", description="auto: FlashAttention 2 where it runs, else PyTorch's SDPA"
    )

    @field_validator("train_also")
    @classmethod
    def _are_expressions(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as err:
                raise ValueError(f"{pattern!r} is no regular expression: {err}") from err
        return patterns

    @model_validator(mode="after")
    def _some_memory(self) -> ModelSettings:
        if self.compr_rate > self.doc_max_length:
            raise ValueError(
                f"compr_rate {self.compr_rate} exceeds doc_max_length {self.doc_max_length}: "
                "no memory token would be left"
            )
        if self.doc_max_length % self.compr_rate:
            raise ValueError(
                f"doc_max_length {self.doc_max_length} is not a multiple of "
                f"compr_rate {self.compr_rate}"
            )
        return self


class ServingSettings(Settings):
    """Answers over the index."""

    top_n: PositiveInt = Field(default=20, description="candidates taken from the index")
    max_new_tokens: PositiveInt = Field(default=64, description="length limit of an answer")


class ExecutionSettings(ShardingSettings):
    """How data steps run on this machine, where stages run, and who hears of failures."""

    retries: NonNegativeInt = Field(default=2, description="of tasks where retrying makes sense")
    dispatch: Literal["process", "deployments"] = Field(
        default="process",
        description="the pipeline's stages: all in its own process, or each sent as a run of its "
        "deployment to a work pool and waited for (`clara deploy` makes them)",
    )
    poll_s: PositiveFloat = Field(default=5.0, description="how often a stage sent away is asked")
    notify: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$",
        description="Prefect notification block that hears of failures: slack-webhook/my-block",
    )
    lease_s: PositiveFloat = Field(
        default=60.0,
        description="another worker at the same step that is not heard of for so long is taken for "
        "dead, and its step taken over",
    )
    cache: Path | None = Field(
        default=None,
        description="folder of the local copies of remote workspaces; default: $CLARA_CACHE, or "
        "~/.cache/clara",
    )


class SweepSettings(Settings):
    """One value of the configuration varied; `clara run` trains and evaluates each."""

    key: str = Field(description="dotted, of model, training or evaluation: model.compr_rate, say")
    values: list[bool | int | float | str] = Field(min_length=1, description="what it becomes")

    @model_validator(mode="after")
    def _told_apart(self) -> SweepSettings:
        if self.key.partition(".")[0] not in ("model", "training", "evaluation"):
            raise ValueError(f"key is '{self.key}'; it must begin with model, training, evaluation")
        labels = [self.label(value) for value in self.values]
        if doubled := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"values give the same variant twice: {', '.join(sorted(doubled))}")
        return self

    def label(self, value: bool | int | float | str) -> str:
        """Name of a variant's folder, such as `compr_rate=16`."""
        words = re.sub(r"[^\w.+-]+", "-", json.dumps(value, ensure_ascii=False)).strip("-")
        return f"{self.key.rpartition('.')[2]}={words}"


class PipelineConfig(Settings):
    """A whole pipeline: where it works and what each step does."""

    workspace: Path = Field(
        default=Path("data/workspace"),
        description="folder of all results, or a URI of one: file://, s3://, gs://",
    )
    remote: str | None = Field(
        default=None,
        description="where a workspace is at home whose local copy `workspace` is; a URI given as "
        "workspace comes here",
    )
    seed: int = Field(default=0, description="splits and shuffles")
    extraction: ExtractionSettings = Field(default_factory=ExtractionSettings)
    captioning: CaptioningSettings = Field(default_factory=CaptioningSettings)
    synthesis: SynthesisSettings = Field(default_factory=SynthesisSettings)
    negatives: NegativesSettings = Field(default_factory=NegativesSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    serving: ServingSettings = Field(default_factory=ServingSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    execution: ExecutionSettings = Field(default_factory=ExecutionSettings)
    sweep: SweepSettings | None = Field(default=None, description="several values of one key")

    @model_validator(mode="before")
    @classmethod
    def _place_workspace(cls, tree: Any) -> Any:
        return place_workspace(tree)

    @model_validator(mode="after")
    def _frozen_compressor_shares_nothing(self) -> PipelineConfig:
        if self.model.train_also and not self.training.stage2.train_compressor:
            raise ValueError(
                "training.stage2.train_compressor is false, but model.train_also trains weights "
                "that the compressor shares with the generator; empty it, or train the compressor"
            )
        return self

    @model_validator(mode="after")
    def _every_variant_is_valid(self) -> PipelineConfig:
        for value in self.sweep.values if self.sweep else ():
            try:
                self.variant(value)
            except ValidationError as err:
                assert self.sweep is not None
                first = err.errors()[0]
                message = first["msg"].removeprefix("Value error, ")
                if first["type"] == "extra_forbidden":
                    message = "there is no such key"
                raise ValueError(f"sweep: {self.sweep.key}={value}: {message}") from err
        return self

    def variant(self, value: bool | int | float | str) -> PipelineConfig:
        """The configuration with one of the sweep's values, and no sweep.

        Raises:
            ValueError: If there is no sweep, or the value is not a valid one.
        """
        if self.sweep is None:
            raise ValueError("the configuration has no sweep")
        tree = self.model_dump(exclude={"sweep"})
        *sections, last = self.sweep.key.split(".")
        branch = tree
        for section in sections:
            inner = branch.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ValueError(f"sweep.key {self.sweep.key}: '{section}' is not a section")
            branch = inner
        branch[last] = value
        return PipelineConfig.model_validate(tree)

    @model_validator(mode="after")
    def _quantized_weights_stay_whole(self) -> PipelineConfig:
        if self.model.quantization != "none" and self.training.zero_stage == 3:
            raise ValueError(
                f"model.quantization {self.model.quantization} cannot be combined with "
                "training.zero_stage 3, which takes weights apart; use zero_stage 2"
            )
        return self

    @model_validator(mode="after")
    def _top_k_fits(self) -> PipelineConfig:
        if self.model.generation_top_k > self.negatives.num_candidates:
            raise ValueError(
                f"model.generation_top_k {self.model.generation_top_k} exceeds "
                f"negatives.num_candidates {self.negatives.num_candidates}"
            )
        return self
