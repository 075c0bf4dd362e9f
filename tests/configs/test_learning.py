"""Configurations of the learning proof."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_model.errors import ConfigError
from configs.learning import LearningConfig
from configs.load import load_settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("name", ["learn", "learn_five", "world_gpu"])
def test_the_configuration_loads_and_asks_about_unseen_entities(name: str) -> None:
    config = load_settings(CONFIGS / f"{name}.yaml", [], LearningConfig)
    assert config.questions.split == "test"
    assert config.stage3.num_candidates == 20


@pytest.mark.parametrize("name", ["learn", "world_gpu"])
def test_the_papers_ablations_are_there(name: str) -> None:
    config = load_settings(CONFIGS / f"{name}.yaml", [], LearningConfig)
    assert set(config.ablations) >= {"mse-off", "simple-only", "paraphrase",
                                     "frozen-query-reasoner", "random-query-reasoner"}  # fmt: skip


def test_five_documents_are_read_by_stages_2_and_3() -> None:
    config = load_settings(CONFIGS / "learn_five.yaml", [], LearningConfig)
    assert (config.five_docs.k, config.stage3.k) == (5, 5)
    assert config.stage3.init_from == "stage2"


def test_the_gpu_has_more_of_everything() -> None:
    cpu = load_settings(CONFIGS / "learn.yaml", [], LearningConfig)
    gpu = load_settings(CONFIGS / "world_gpu.yaml", [], LearningConfig)
    assert gpu.device == "cuda"
    assert gpu.two_hop is not None
    assert min(gpu.rates) == 4
    assert max(gpu.rates) >= 64
    assert (gpu.built_in.hidden_size, gpu.built_in.layers) == (512, 8)
    assert gpu.built_in.hidden_size > cpu.built_in.hidden_size
    assert gpu.workspace != cpu.workspace


def test_values_are_replaced_from_the_command_line() -> None:
    config = load_settings(
        CONFIGS / "learn.yaml", ["seeds=[0, 1, 2]", "questions.split=dev"], LearningConfig
    )
    assert config.seeds == [0, 1, 2]
    assert config.questions.split == "dev"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stage1.learningrate=1.0e-3", "did you mean 'learning_rate'"),
        ("ablations.mse-off.chnge={}", "did you mean 'change'"),
        ("ablations.mse-off.change={stage1.no_such: 1}", "ablations.mse-off: stage1.no_such"),
        ("ablations.mse-off.change={nowhere.at: 1}", "'nowhere' is not a section"),
        ("main_rate=7", "not a multiple of the rate 7"),
        ("stage3.k=30", "stage3.k 30 exceeds"),
    ],
)
def test_a_mistake_is_named(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("'", ".")):
        load_settings(CONFIGS / "learn.yaml", [override], LearningConfig)
