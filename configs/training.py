"""The part of the schema that says how the three stages train."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from configs.base import Settings
from configs.launcher import LauncherSettings


class StageSettings(Settings):
    """How one stage trains; defaults are the paper's (Table 10)."""

    epochs: PositiveFloat = Field(default=1.0, description="passes over the rows")
    steps: PositiveInt | None = Field(default=None, description="optimizer steps; overrides epochs")
    batch_size: PositiveInt = Field(default=128, description="examples per optimizer step, global")
    micro_batch_size: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="examples per forward pass and rank; auto: all at once, halved until they fit",
    )
    learning_rate: PositiveFloat = Field(default=1.0e-4, description="peak learning rate")
    schedule: Literal["cosine", "constant", "linear"] = Field(default="cosine")
    warmup_ratio: float = Field(default=0.03, ge=0.0, lt=1.0, description="share of steps")
    weight_decay: float = Field(default=0.0, ge=0.0)
    adam_beta2: float = Field(
        default=0.999,
        gt=0.0,
        lt=1.0,
        description="lower for runs of a few hundred steps: the first gradients are forgotten",
    )
    max_grad_norm: PositiveFloat = Field(default=1.0)
    checkpoint_every: PositiveInt = Field(default=100, description="steps between checkpoints")
    checkpoint_minutes: PositiveFloat = Field(
        default=10.0, description="a checkpoint is written at least this often"
    )
    eval_every: NonNegativeInt = Field(
        default=0, description="steps between evaluations on held-out rows; 0: none"
    )
    eval_rows: PositiveInt = Field(
        default=64, description="rows kept out of training for them, if eval_every is not 0"
    )
    best_metric: Literal["loss", "em", "f1", "recall_at_1", "recall_at_k"] = Field(
        default="loss", description="of the held-out rows; names the best checkpoint"
    )
    early_stopping: NonNegativeInt = Field(
        default=0, description="evaluations without a better one that end the stage; 0: never"
    )
    keep: Literal["last", "best"] = Field(
        default="last", description="which weights the stage ends with"
    )
    seed: int = Field(default=0)


class DataMix(Settings):
    """Which share of each kind of row stage 1 sees (the paper's Table 3); 0 leaves a kind out."""

    simple: float = Field(default=1.0, ge=0.0, le=1.0)
    complex: float = Field(default=1.0, ge=0.0, le=1.0)
    paraphrase: float = Field(default=1.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _something_left(self) -> DataMix:
        if not (self.simple or self.complex or self.paraphrase):
            raise ValueError(
                "simple, complex and paraphrase are all 0: nothing is left to train on; set one "
                "above 0"
            )
        return self


class Stage1Settings(StageSettings):
    """Salient compressor pretraining."""

    mse_weight: float = Field(default=0.1, ge=0.0, description="weight of the MSE term")
    data_mix: DataMix = Field(default_factory=DataMix)
    paraphrase_share: float = Field(
        default=0.3, ge=0.0, le=1.0, description="share of paraphrase rows in the generated world"
    )


class Stage2Settings(StageSettings):
    """Compression instruction tuning."""

    mse_weight: float = Field(default=0.1, ge=0.0, description="weight of the MSE term")
    decoder_init: Literal["stage1", "fresh"] = Field(
        default="stage1", description="the paper continues; the released code starts afresh"
    )
    train_compressor: bool = Field(default=True, description="off: only the generator is tuned")


class Stage3Settings(StageSettings):
    """End-to-end training of query reasoner and generator."""

    batch_size: PositiveInt = Field(default=32, description="examples per optimizer step, global")
    learning_rate: PositiveFloat = Field(default=5.0e-6, description="peak learning rate")
    temperature: PositiveFloat = Field(default=0.02, description="of the differentiable top-k")
    init_from: Literal["stage1", "stage2"] = Field(default="stage2")
    query_init: Literal["encoder", "random"] = Field(default="encoder")
    train_query_reasoner: bool = Field(default=True, description="off: it stays as it starts")
    train_decoder: bool = Field(default=True, description="off: only the query reasoner learns")
    train_compressor: bool = Field(
        default=False,
        description="on: candidates are compressed in every step, and older memories lose validity",
    )

    @model_validator(mode="after")
    def _something_trains(self) -> Stage3Settings:
        if not (self.train_query_reasoner or self.train_decoder or self.train_compressor):
            raise ValueError(
                "train_query_reasoner, train_decoder and train_compressor are all false: nothing "
                "to train; set one to true"
            )
        return self


class WorldSettings(Settings):
    """The generated world beside the user's documents (needed by the built-in decoder only)."""

    share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="share of training examples drawn from the world"
    )
    rows_per_stage: PositiveInt = Field(
        default=20_000, description="world rows written a stage, at most; it may need fewer"
    )
    benchmark_rows: PositiveInt = Field(default=200, description="held-out world questions")
    seed: int = Field(default=0)


class TrainingSettings(Settings):
    """The three stages and the machine they run on."""

    stage1: Stage1Settings = Field(default_factory=Stage1Settings)
    stage2: Stage2Settings = Field(default_factory=Stage2Settings)
    stage3: Stage3Settings = Field(default_factory=Stage3Settings)
    world: WorldSettings = Field(default_factory=WorldSettings)
    num_processes: PositiveInt = Field(default=1, description="ranks on each machine")
    launcher: LauncherSettings = Field(default_factory=LauncherSettings)
    zero_stage: Literal[0, 1, 2, 3] = Field(default=2, description="DeepSpeed ZeRO stage")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="fp32", description="auto: what the machine that trains is best at"
    )
    threads: NonNegativeInt = Field(default=0, description="CPU threads a rank; 0: all cores")
    offload: Literal["none", "optimizer", "all"] = Field(
        default="none", description="what ZeRO keeps in CPU memory (all: stage 3 only)"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="recompute activations: less memory, about a third more time"
    )
    compile: bool = Field(default=False, description="torch.compile the decoder")
    loss_chunk: PositiveInt = Field(
        default=1024, description="answer tokens whose logits are in memory at a time"
    )
    group_by_length: bool = Field(
        default=True, description="batches of documents of like length: little padding"
    )
    keep_checkpoints: PositiveInt = Field(default=2, description="newest checkpoints kept")
    resume: Literal["refuse", "restart", "continue"] = Field(
        default="refuse",
        description="an interrupted stage met with other settings: refuse and show them, discard "
        "its checkpoints, or go on from its weights",
    )

    @model_validator(mode="after")
    def _zero_can_do_it(self) -> TrainingSettings:
        least = {"none": 0, "optimizer": 1, "all": 3}[self.offload]
        if self.zero_stage < least:
            raise ValueError(
                f"offload {self.offload} needs zero_stage {least}"
                f"{' or higher' if least < 3 else ''}, not {self.zero_stage}: only ZeRO can keep "
                "that in CPU memory; raise zero_stage, or set offload to none"
            )
        if self.compile and self.zero_stage == 3:
            raise ValueError(
                "compile needs the weights in place, and zero_stage 3 spreads them over the ranks; "
                "lower zero_stage, or set compile to false"
            )
        return self
