"""What the command line asks of an evaluation, as settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_evaluation import stored_evaluation

from clara_model.errors import ConfigError
from configs.load import load_config
from flows.evaluation_commands import (
    Asked,
    _show,
    asked_overrides,
    evaluate_systems,
    split_arguments,
    sweep_overrides,
)
from tasks.evaluation.evaluate import rescore

CONFIG = Path(__file__).parents[2] / "configs" / "quickstart.yaml"


def test_last_argument_is_the_configuration_if_it_is_named_like_one() -> None:
    default = Path("configs/quickstart.yaml")
    assert split_arguments(["a", "b", "c.yaml"], default) == (["a", "b"], Path("c.yaml"))
    assert split_arguments(["a", "b"], default) == (["a", "b"], default)
    assert split_arguments([], default) == ([], default)


def test_nothing_asked_changes_nothing() -> None:
    assert asked_overrides([], Asked(), named=True) == []


def test_wishes_become_settings_that_load() -> None:
    asked = Asked(
        "hotpotqa, some file.jsonl,world,unanswerable", "oracle", 3, 7, 5, "dense:a/b", None, True
    )
    settings = load_config(CONFIG, asked_overrides(["stage1"], asked, named=True)).evaluation
    assert settings.systems == ["stage1"]
    assert settings.benchmarks == ["hotpotqa", "some file.jsonl"]
    assert settings.held_out == ["world", "unanswerable"]
    assert settings.settings == ["oracle"]
    assert (settings.k, settings.num_candidates, settings.max_questions) == (3, 7, 5)
    assert settings.retriever == "dense:a/b"
    assert settings.cost
    assert settings.name is None


def test_own_models_on_other_benchmarks_get_a_folder_of_their_own_but_not_in_a_sweep() -> None:
    asked = Asked(benchmarks="nq")
    assert 'evaluation.name="benchmarks"' in asked_overrides([], asked, named=True)
    assert not any("name" in o for o in asked_overrides([], asked, named=False))


def test_sweep_takes_short_and_dotted_keys() -> None:
    settings = load_config(CONFIG, sweep_overrides("compr_rate=4,16,32")).sweep
    assert settings is not None
    assert (settings.key, settings.values) == ("model.compr_rate", [4, 16, 32])
    settings = load_config(CONFIG, sweep_overrides("training.stage1.steps=10,20")).sweep
    assert settings is not None
    assert settings.key == "training.stage1.steps"


@pytest.mark.parametrize("text", ["compr_rate", "compr_rate=", "rate=4", "=4"])
def test_unreadable_sweep_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE,VALUE"):
        sweep_overrides(text)


def test_models_and_a_sweep_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="trains its own models; leave out stage1"):
        evaluate_systems(["stage1"], None, Asked(), (), default=CONFIG, sweep="compr_rate=4",
                         force=False, downstream=False, as_json=False)  # fmt: skip


def test_leaderboard_states_pool_n_and_k_of_all_that_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workspace = stored_evaluation(tmp_path)
    rescore(config, workspace)
    _show(config, workspace, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    for setting in ("oracle", "normal"):
        assert shown.count(f"hotpotqa, {setting}: N = 4, k = 2; pool of 90 (hotpotqa)") == 1
    assert shown.count("each is written from its own memory alone: N = k = 1") == 1
