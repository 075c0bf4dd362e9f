"""Settings of a machine stand before those of a command, and never decide results."""

from __future__ import annotations

import pytest

from clara_model.errors import ConfigError
from configs.load import load_config
from configs.machine import VARIABLE

CONFIG = "configs/quickstart.yaml"


def test_a_command_wins_over_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "training.stage1.micro_batch_size=2 execution.workers=7")
    assert load_config(CONFIG).execution.workers == 7
    config = load_config(CONFIG, ["execution.workers=3"])
    assert (config.execution.workers, config.training.stage1.micro_batch_size) == (3, 2)


@pytest.mark.parametrize("key", ["training.stage1.learning_rate", "model.base", "workspace"])
def test_what_decides_results_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(VARIABLE, f"{key}=1")
    with pytest.raises(ConfigError, match=rf"{VARIABLE}: {key} is no setting of a machine"):
        load_config(CONFIG)
