"""The schema of a learning proof: one decoder, the stages on the made-up world, and ablations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from clara_model.base.settings import BuiltInSettings
from configs.base import Settings
from configs.schema import TrackingSettings
from configs.training import Stage1Settings, Stage2Settings, Stage3Settings


class LearningModel(Settings):
    """What all models of a learning proof share; the rate and k are each job's own."""

    doc_max_length: PositiveInt = Field(default=64, description="L, document tokens compressed")
    different_mem_tokens: bool = Field(default=True, description="one token per memory slot")
    memory_init: Literal["default", "normal"] = Field(default="normal")
    lora_r: PositiveInt = Field(default=16, description="LoRA rank")
    lora_alpha: PositiveInt | None = Field(default=None, description="default: twice the rank")
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="LoRA dropout")
    lora_targets: list[str] | None = Field(default=None)


class Stage1Recipe(Stage1Settings):
    """Stage 1 on the generated world."""

    paraphrase_share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="share of rows that are paraphrases"
    )
    complex_share: float = Field(
        default=0.5, ge=0.0, le=1.0, description="share of question rows about all facts at once"
    )
    employer_share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="share of persons whose document names an employer"
    )


class FiveDocumentsRecipe(Stage2Settings):
    """Stage 2 with several documents, one of which holds the answer."""

    k: PositiveInt = Field(default=5, description="documents of a question")
    two_hop_share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="share of questions that need two of them"
    )
    hint_share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="share of these that tell the company's group"
    )


class Stage3Recipe(Stage3Settings):
    """Stage 3 with hard candidates and the answer loss alone."""

    init_from: Literal["stage1", "stage2"] = Field(
        default="stage1", description="stage2: from the model of `five_docs`"
    )
    k: PositiveInt = Field(default=1, description="documents that the generator reads")
    num_candidates: PositiveInt = Field(default=20, description="N, documents of a question")
    code_share: float = Field(
        default=0.5, ge=0.0, le=1.0, description="share of questions by alias instead of name"
    )
    described_share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="share of questions that describe and do not name"
    )


class TwoHopRecipe(Stage3Recipe):
    """Stage 3 with questions that need two documents."""

    init_from: Literal["stage1", "stage2"] = Field(default="stage2")
    k: PositiveInt = Field(default=5)
    code_share: float = Field(default=0.0, ge=0.0, le=1.0)
    one_hop_share: float = Field(
        default=0.25, ge=0.0, le=1.0, description="share of questions about one document"
    )
    hint_share: float = Field(
        default=1.0, ge=0.0, le=1.0, description="share of questions that tell the company's group"
    )


class QuestionSettings(Settings):
    """Held-out questions; their entities are never trained on."""

    split: Literal["dev", "test"] = Field(
        default="test", description="dev: to choose recipes; test: for the table"
    )
    seed: int = Field(default=1000, description="of the draw; a run's own seed is added")
    count: PositiveInt = Field(default=300, description="questions of each kind")
    max_new_tokens: PositiveInt = Field(default=12, description="length limit of an answer")
    batch_size: PositiveInt = Field(default=50, description="questions per generation batch")
    bootstrap_samples: PositiveInt = Field(default=2000, description="for confidence intervals")


class Ablation(Settings):
    """One thing changed, and whether it moves a score the way that it does in the paper."""

    title: str = Field(description="what is changed, in words")
    source: str = Field(description="table of the paper")
    paper: str = Field(description="the paper's figures, in words")
    direction: Literal["lower", "higher", "same"] = Field(
        description="of the changed model's score against the reference's, in the paper"
    )
    metric: Literal["stage1.em", "stage3.em", "stage3.recall@1", "five_docs.em"] = Field(
        description="what is compared, on the same questions"
    )
    questions: Literal["name", "alias"] = Field(
        default="name", description="how stage 3's questions name whom they ask about"
    )
    change: dict[str, Any] = Field(min_length=1, description="dotted keys of this file, new values")
    common: dict[str, Any] = Field(
        default={}, description="changed in the reference as well: fewer steps, another rate"
    )
    note: str = Field(default="", description="why ours differs, where it does; for the page")


class LearningConfig(Settings):
    """A learning proof: what is trained, on which seeds, and what is asked."""

    workspace: Path = Field(default=Path("data/learn"), description="folder of all results")
    title: str = Field(default="Proof that it learns", description="heading of the page")
    seeds: list[int] = Field(default=[0], min_length=1, description="repetitions")
    workers: PositiveInt = Field(default=2, description="jobs at a time")
    threads: PositiveInt = Field(default=1, description="CPU threads of a job")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="of the three stages")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="where everything runs")
    built_in: BuiltInSettings = Field(default_factory=BuiltInSettings)
    model: LearningModel = Field(default_factory=LearningModel)
    rates: list[PositiveInt] = Field(default=[4, 8, 16, 32], min_length=1)
    main_rate: PositiveInt = Field(default=8, description="the rate of everything but the curve")
    stage1: Stage1Recipe = Field(default_factory=Stage1Recipe)
    stage1_steps_at: dict[int, PositiveInt] = Field(
        default={}, description="steps of stage 1 at a rate, where they are others"
    )
    stage3: Stage3Recipe = Field(default_factory=Stage3Recipe)
    stage3_control: bool = Field(default=True, description="stage 3 with shuffled answers as well")
    five_docs: FiveDocumentsRecipe = Field(default_factory=FiveDocumentsRecipe)
    two_hop: TwoHopRecipe | None = Field(default=None, description="questions over two documents")
    questions: QuestionSettings = Field(default_factory=QuestionSettings)
    ablations: dict[str, Ablation] = Field(default={})
    ablation_seeds: NonNegativeInt = Field(default=1, description="on so many of the seeds")
    notes: list[str] = Field(
        default=[], description="what stays unreached, and the evidence; for the page"
    )
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)

    @model_validator(mode="after")
    def _rates_fit(self) -> LearningConfig:
        for rate in {*self.rates, self.main_rate}:
            if self.model.doc_max_length % rate:
                raise ValueError(
                    f"model.doc_max_length {self.model.doc_max_length} is not a multiple of the "
                    f"rate {rate}; change rates, main_rate or the length"
                )
        for name, recipe in (("stage3", self.stage3), ("two_hop", self.two_hop)):
            if recipe is not None and recipe.k > recipe.num_candidates:
                raise ValueError(
                    f"{name}.k {recipe.k} exceeds {name}.num_candidates {recipe.num_candidates}"
                )
        return self

    @model_validator(mode="after")
    def _ablations_are_valid(self) -> LearningConfig:
        for name, ablation in self.ablations.items():
            try:
                self.changed({**ablation.common, **ablation.change})
            except ValidationError as err:
                first = err.errors()[0]
                key = ".".join(map(str, first["loc"]))
                raise ValueError(f"ablations.{name}: {key}: {first['msg']}") from err
        return self

    def changed(self, values: dict[str, Any]) -> LearningConfig:
        """This configuration with some dotted keys changed, and without ablations.

        Raises:
            ValueError: If a key is not known or its value not valid.
        """
        tree = self.model_dump(exclude={"ablations"})
        for key, value in values.items():
            *sections, last = key.split(".")
            branch = tree
            for section in sections:
                inner = branch.get(section)
                if not isinstance(inner, dict):
                    raise ValueError(f"{key}: '{section}' is not a section")
                branch = inner
            branch[last] = value
        return LearningConfig.model_validate(tree)
