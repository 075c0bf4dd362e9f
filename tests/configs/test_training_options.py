"""Settings of memory and speed that exclude each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_model.errors import ConfigError
from configs.load import load_config

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart.yaml"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.offload=all"], r"offload all needs zero_stage 3, not 2"),
        (["training.offload=optimizer", "training.zero_stage=0"],
         r"offload optimizer needs zero_stage 1 or higher, not 0"),
        (["training.compile=true", "training.zero_stage=3"], r"compile needs the weights in place"),
        (["model.quantization=4bit", "training.zero_stage=3"],
         r"quantization 4bit cannot be combined with .*use zero_stage 2"),
        (["model.train_also=['(']"], r"'\(' is no regular expression"),
    ],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_had_together_are_refused(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(QUICKSTART, overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.offload=all", "training.zero_stage=3"],
        ["training.offload=optimizer", "training.zero_stage=1"],
        ["training.compile=true", "training.gradient_checkpointing=true"],
        ["model.quantization=8bit", "model.attention=flash_attention_2"],
        ["model.train_also=['norm', 'layers\\.1\\.']"],
    ],
    ids=str,
)
def test_options_that_go_together_are_accepted(overrides: list[str]) -> None:
    load_config(QUICKSTART, overrides)
