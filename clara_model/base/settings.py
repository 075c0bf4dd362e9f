"""Size and recipe of the built-in decoder. Torch-free, so that a configuration can hold it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator


class BuiltInSettings(BaseModel):
    """The small Llama decoder that is built and pretrained on the spot.

    The defaults are the recipe of the quickstart: found on the development split of the made-up
    world, where the decoder reads an unseen document after about two minutes on two cores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocab_size: PositiveInt = Field(
        4096, ge=512, description="Most tokens the tokenizer may hold, special tokens included."
    )
    hidden_size: PositiveInt = Field(128, description="Width of the residual stream.")
    layers: PositiveInt = Field(4, description="Number of transformer blocks.")
    heads: PositiveInt = Field(4, description="Attention heads; divides hidden_size evenly.")
    ffn: PositiveInt = Field(384, description="Width of the feed-forward layers.")
    max_position: PositiveInt = Field(4096, description="Longest sequence, in tokens.")
    steps: PositiveInt = Field(420, description="Optimizer steps of pretraining.")
    copy_steps: int = Field(
        150, ge=0, description="The first steps, in which random words are copied as well."
    )
    batch_size: PositiveInt = Field(32, description="Sequences in a step.")
    learning_rate: PositiveFloat = Field(3.0e-3, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    warmup_steps: int = Field(20, ge=0, description="Steps of linear warm-up.")
    checkpoint_every: PositiveInt = Field(100, description="Steps between two checkpoints.")
    seed: int = Field(0, description="Seed of the weights and of the texts drawn.")

    @model_validator(mode="after")
    def _check_sizes(self) -> BuiltInSettings:
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be an even multiple of heads ({self.heads})"
            )
        if self.copy_steps > self.steps:
            raise ValueError(f"copy_steps ({self.copy_steps}) must not exceed steps ({self.steps})")
        return self
