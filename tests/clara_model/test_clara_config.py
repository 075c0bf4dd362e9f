import json
from pathlib import Path

import pytest

from clara_model import ClaraConfig
from clara_model.config import read_config, write_config
from clara_model.errors import CheckpointError, ConfigError


def test_released_fields_survive_reading_and_writing(tmp_path: Path) -> None:
    released = {
        "model_type": "CLaRa",
        "compr_rate": 16,
        "doc_max_length": 128,
        "training_stage": "stage1_2",
        "auto_map": {"AutoModel": "modeling_clara.CLaRa"},
        "from_the_future": [1, 2],
    }
    (tmp_path / "config.json").write_text(json.dumps(released))
    config = read_config(tmp_path)
    assert (config.num_memory_tokens, config.stage) == (8, "stage2")
    write_config(config, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert {key: written[key] for key in released} == released
    assert read_config(tmp_path) == read_config(tmp_path)


@pytest.mark.parametrize(
    ("released", "stage"), [("stage1", "stage1"), ("stage1_2", "stage2"), ("stage2", "stage3")]
)
def test_released_stage_names_are_translated(released: str, stage: str) -> None:
    config = ClaraConfig.from_dict({"training_stage": released})
    assert config.stage == stage
    assert config.to_dict()["training_stage"] == released


def test_alpha_is_twice_the_rank_unless_given() -> None:
    assert ClaraConfig(lora_r=8).adapter_alpha == 16
    assert ClaraConfig(lora_r=8, lora_alpha=3).adapter_alpha == 3


def test_length_need_not_be_a_multiple_of_the_rate() -> None:
    assert ClaraConfig(doc_max_length=100, compr_rate=32).num_memory_tokens == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"compr_rate": 300}, "no memory token"),
        ({"compr_rate": 0}, "compr_rate is 0"),
        ({"generation_top_k": 0}, "generation_top_k is 0"),
        ({"memory_init": "zeros"}, "memory_init"),
        ({"topk_temperature": 0.0}, "topk_temperature"),
        ({"training_stage": "stage9"}, "training_stage is 'stage9'"),
        ({"compr_model_name": "bert"}, "compr_model_name"),
        ({"model_type": "llama"}, "another model"),
    ],
)
def test_impossible_values_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClaraConfig.from_dict(values)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a CLaRa checkpoint"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: not JSON"):
        read_config(tmp_path)
