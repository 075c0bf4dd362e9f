"""Size and recipe of the built-in decoder. Torch-free, so that a configuration can hold it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator


class BuiltInSettings(BaseModel):
    """The small Llama decoder that is built and pretrained on the spot.

    The defaults are the quickstart's recipe, found on the development split of the made-up world.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocab_size: int = Field(
        default=4096, ge=512, description="most tokens, special tokens and bytes included"
    )
    hidden_size: PositiveInt = Field(default=128, description="width of the residual stream")
    layers: PositiveInt = Field(default=4, description="transformer blocks")
    heads: PositiveInt = Field(default=4, description="attention heads")
    ffn: PositiveInt = Field(default=384, description="width of the feed-forward layers")
    head_dim: PositiveInt | None = Field(
        default=None, description="width of a head; default: hidden_size / heads"
    )
    rope_theta: PositiveFloat = Field(default=10_000.0, description="base of the rotary positions")
    induction: bool = Field(
        default=False,
        description="start as an induction circuit and take lessons in telling documents apart",
    )
    hops: Literal[1, 2] = Field(
        default=1,
        description="2: the circuit matches twice, lessons lead to questions over two documents",
    )
    max_position: PositiveInt = Field(default=4096, description="longest sequence, in tokens")
    init_std: PositiveFloat = Field(default=0.06, description="spread of the first weights")
    steps: PositiveInt = Field(default=300, description="optimizer steps")
    copy_steps: int = Field(
        default=60, ge=0, description="first steps, in which half the texts are words to copy"
    )
    short_steps: int = Field(
        default=160, ge=0, description="first steps, in which documents grow from one fact to all"
    )
    batch_size: PositiveInt = Field(default=32, description="texts in a step")
    lesson_tokens: PositiveInt = Field(default=2500, description="tokens in a step of a lesson")
    lesson_goal: float = Field(
        default=0.8, gt=0.0, le=1.0, description="share of right answers that ends a lesson"
    )
    lesson_steps: PositiveInt = Field(default=120, description="most steps of one lesson")
    lesson_share: float = Field(
        default=0.7, gt=0.0, lt=1.0, description="share of the steps that lessons take at most"
    )
    learning_rate: PositiveFloat = Field(
        default=1.0e-2, description="peak rate of Muon, for the matrices"
    )
    embedding_rate: PositiveFloat = Field(
        default=3.3e-3, description="peak rate of AdamW, for embeddings and norms"
    )
    warmup_steps: int = Field(default=20, ge=0, description="steps of linear warm-up")
    decay_share: float = Field(
        default=0.25, ge=0.0, le=1.0, description="share of the steps in which rates fall to 0"
    )
    checkpoint_every: PositiveInt = Field(default=100, description="steps between checkpoints")
    seed: int = Field(default=0, description="of the weights and of the texts drawn")

    @model_validator(mode="after")
    def _check_heads(self) -> BuiltInSettings:
        if self.induction and self.layers < 2:
            raise ValueError("induction needs at least 2 layers: one looks back, the next matches")
        if self.hops > 1 and not (self.induction and self.layers > 2):
            raise ValueError("hops 2 needs induction: true and at least 3 layers: two that match")
        if self.head_dim is None and self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of twice heads {self.heads}"
            )
        return self
