from __future__ import annotations

from pathlib import Path

import pytest

from clara_model.errors import ConfigError
from configs.load import load_config

ROOT = Path(__file__).resolve().parents[2]
# Tables of experiments have a schema of their own.
EXPERIMENTS = ("learn", "learn_five", "world_gpu")
CONFIGS = sorted(
    path for path in (ROOT / "configs").rglob("*.yaml") if path.stem not in EXPERIMENTS
)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_there_are_configurations() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_every_configuration_of_the_project_loads(path: Path) -> None:
    assert load_config(path).workspace


def test_unknown_key_is_named_with_its_line_and_a_near_one(tmp_path: Path) -> None:
    path = write(tmp_path, "training:\n  stage1:\n    learningrate: 1.0e-4\n")
    with pytest.raises(ConfigError, match=r"config.yaml:3: unknown key .*did you mean 'learning_r"):
        load_config(path)


def test_wrong_value_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 1\nmodel:\n  compr_rate: fast\n")
    with pytest.raises(ConfigError, match=r"config.yaml:3: model.compr_rate: .*integer"):
        load_config(path)


def test_broken_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml:2: not valid YAML"):
        load_config(write(tmp_path, "a: 1\n b: [\n"))


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such configuration file"):
        load_config("nowhere.yaml")


def test_override_changes_one_of_the_sections_that_share_an_anchor(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  stage1: &same\n    steps: 7\n  stage2: *same\n  stage3: *same\n")
    training = load_config(path, ["training.stage3.steps=9"]).training
    assert [training.stage1.steps, training.stage2.steps, training.stage3.steps] == [7, 7, 9]


def test_override_replaces_a_value_and_creates_its_section(tmp_path: Path) -> None:
    path = write(tmp_path, "model:\n  doc_max_length: 128\n")
    config = load_config(path, ["model.compr_rate=16", "training.stage1.learning_rate=5.0e-5"])
    assert (config.model.doc_max_length, config.model.compr_rate) == (128, 16)
    assert config.training.stage1.learning_rate == 5.0e-5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.compr_rate", "section.key=value"),
        ("model.base.deep=1", "is a value, not a section"),
        ("model.nothing=1", "unknown key 'model.nothing'"),
        ("model.compr_rate=-2", "--set model.compr_rate"),
    ],
)
def test_wrong_override_is_refused_by_name(tmp_path: Path, override: str, message: str) -> None:
    path = write(tmp_path, "model:\n  base: built-in\n")
    with pytest.raises(ConfigError, match=message):
        load_config(path, [override])


def test_rate_that_does_not_divide_the_length_is_refused_with_both_values(tmp_path: Path) -> None:
    path = write(tmp_path, "model:\n  doc_max_length: 100\n  compr_rate: 32\n")
    with pytest.raises(ConfigError, match=r"doc_max_length 100 .*compr_rate 32"):
        load_config(path)


def test_a_literal_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path, "synthesis:\n  api_key: sk-planted-secret\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "planted" not in str(caught.value)
    assert "write ${NAME}" in str(caught.value)


def test_a_key_is_read_from_the_environment_and_never_dumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-planted-secret")
    config = load_config(write(tmp_path, "synthesis:\n  api_key: ${MY_KEY}\n"))
    assert config.synthesis.read_api_key() == "sk-planted-secret"
    assert "planted" not in config.model_dump_json() + repr(config)


def test_a_missing_key_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    config = load_config(write(tmp_path, "synthesis:\n  api_key: ${MY_KEY}\n"))
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        config.synthesis.read_api_key()
