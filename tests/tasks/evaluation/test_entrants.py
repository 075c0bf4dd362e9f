"""Which systems take part, and what decides that a prediction is asked again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_workspace import tiny_config, tiny_workspace

from clara_model.errors import CheckpointError, ConfigError
from configs.schema import PipelineConfig
from tasks.evaluation.entrants import list_entrants, resolve
from tasks.evaluation.places import evaluation_folder
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return tiny_workspace(tmp_path_factory.mktemp("entrants"), shared, questions=2)


def config_of(workspace: Workspace, **evaluation: object) -> PipelineConfig:
    config = tiny_config(workspace)
    changed = {**config.evaluation.model_dump(), **evaluation}
    return PipelineConfig.model_validate({**config.model_dump(), "evaluation": changed})


def test_stages_folders_and_lines_become_lines(workspace: Workspace) -> None:
    models = workspace.models
    assert resolve("stage3", workspace) == f"clara:{models / 'stage3'}"
    assert resolve(str(models / "stage1"), workspace) == f"clara:{models / 'stage1'}"
    assert resolve(str(models / "base"), workspace) == f"text:{models / 'base'}"
    assert resolve("bm25+text:some/model", workspace) == "bm25+text:some/model"
    with pytest.raises(ConfigError, match=r"'textual' is neither a stage"):
        resolve("textual", workspace)


def test_a_repository_of_one_rate_is_named_by_its_folder(
    workspace: Workspace, tmp_path: Path
) -> None:
    inside = tmp_path / "CLaRa-7B-E2E" / "compression-16"
    shutil.copytree(workspace.models / "stage3", inside)
    assert resolve(str(inside.parent), workspace) == f"clara:{inside}"
    base = str(workspace.models / "base")
    config = config_of(workspace, systems=[str(inside.parent)], base_model=base)
    (entrant,) = list_entrants(config, workspace)
    assert entrant.name == "clara:CLaRa-7B-E2E/compression-16"
    assert entrant.plan.shelf.base(str(inside)) == base
    shutil.copytree(inside, inside.with_name("compression-128"))
    with pytest.raises(ConfigError, match="several checkpoints"):
        resolve(str(inside.parent), workspace)


def test_stage_without_checkpoint_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="clara train stage2"):
        resolve("stage2", Workspace(tmp_path))


def test_named_systems_have_names_ids_k_and_rates(workspace: Workspace) -> None:
    config = config_of(workspace, systems=["stage3", "bm25+text", "closed-book"], k=3)
    told = [entrant.describe() for entrant in list_entrants(config, workspace)]
    assert [t["id"] for t in told] == ["clara_stage3", "bm25_text_base", "closed-book_base"]
    assert [t["chooses"] for t in told] == [True, True, False]
    assert [t["rate"] for t in told] == [4, 1, None]
    assert {t["k"] for t in told} == {3}
    assert all(t["small"] for t in told)


def test_folders_of_one_name_are_told_apart(workspace: Workspace, tmp_path: Path) -> None:
    first, second = workspace.models / "stage3", tmp_path / "other" / "stage3"
    shutil.copytree(first, second)
    shutil.copytree(workspace.models / "base", tmp_path / "other" / "base")
    config = config_of(workspace, systems=[str(first), str(second)])
    names = [entrant.name for entrant in list_entrants(config, workspace)]
    assert names == ["clara:stage3 (models)", "clara:stage3 (other)"]


def test_one_system_named_twice_is_refused(workspace: Workspace) -> None:
    config = config_of(workspace, systems=["stage3", str(workspace.models / "stage3")])
    with pytest.raises(ConfigError, match="more than once"):
        list_entrants(config, workspace)


def test_key_settings_follow_weights_and_k_but_not_the_device(workspace: Workspace) -> None:
    def settings(device: str | None = None, **evaluation: object) -> str:
        config = config_of(workspace, systems=["stage1"], **evaluation)
        return json.dumps(list_entrants(config, workspace, device)[0].settings)

    assert settings("cpu") == settings("cuda")
    assert settings(k=1) != settings(k=2)
    assert settings(max_new_tokens=5) != settings()
    changed = json.loads(settings(rerank_depth=7, lingua_rate=0.5))
    assert (changed["depth"], changed["lingua_rate"]) == (7, 0.5)
    weights = workspace.models / "stage1" / "config.json"
    before, was = settings(), weights.read_text()
    weights.write_text(was + "\n")
    assert settings() != before
    weights.write_text(was)


def test_only_the_pipelines_own_evaluation_lies_in_its_folder(workspace: Workspace) -> None:
    root = workspace.root
    assert evaluation_folder(config_of(workspace), workspace) == root / "evaluation"
    named = config_of(workspace, systems=["stage1"])
    assert evaluation_folder(named, workspace) == root / "evaluations" / "systems"
    assert (
        evaluation_folder(config_of(workspace, name="x"), workspace) == root / "evaluations" / "x"
    )
