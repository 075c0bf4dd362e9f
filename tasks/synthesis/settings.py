"""What synthesis asks for, as far as rows can hold it."""

from __future__ import annotations

from configs.schema import PipelineConfig
from configs.synthesis import SynthesisSettings


def usable_settings(config: PipelineConfig) -> SynthesisSettings:
    """The settings of synthesis, without joint questions where rows show a single document.

    A joint question needs both its passages among the k documents of a row: with
    `model.generation_top_k` 1 each would be paid for and then set aside.
    """
    settings = config.synthesis
    if config.model.generation_top_k < 2:
        return settings.model_copy(update={"joint_share": 0.0})
    return settings
