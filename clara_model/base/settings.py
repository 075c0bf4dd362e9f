"""Settings of the built-in decoder: its size and how it is pretrained."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class BuiltInSettings(BaseModel):
    """Size and pretraining of the small decoder behind `model.base: built-in`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden_size: PositiveInt = Field(default=128, description="width of the decoder")
    layers: PositiveInt = Field(default=4, description="decoder layers")
    heads: PositiveInt = Field(default=4, description="attention heads")
    ffn: PositiveInt = Field(default=384, description="width of the feed-forward block")
    vocab_size: PositiveInt = Field(default=4096, description="tokens of its own tokenizer")
    steps: PositiveInt = Field(default=420, description="pretraining steps")
    batch_size: PositiveInt = Field(default=32, description="examples per step")
    learning_rate: PositiveFloat = Field(default=2.0e-3, description="peak learning rate")
    seed: int = Field(default=0, description="weights, data order and generated world")
