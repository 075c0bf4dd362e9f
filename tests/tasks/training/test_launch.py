"""Starting training processes and following them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from clara_model.errors import ConfigError, LaunchError
from clara_model.training.progress import Progress
from configs.schema import PipelineConfig
from tasks.training.launch import build_spec, train_stage
from tasks.workspace import Workspace

MakeConfig = Callable[..., PipelineConfig]


def test_a_spec_names_rows_start_and_results(workspace: Workspace, make_config: MakeConfig) -> None:
    spec = build_spec(make_config(), workspace, "stage2")
    assert spec.documents.name == "instruction_data.jsonl"
    assert spec.init == (workspace.models / "stage1").resolve()
    assert spec.output == (workspace.models / "stage2").resolve()
    assert spec.world is None
    assert spec.training.batch_size == 8


def test_stage3_starts_where_the_settings_say(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    config = make_config(stage3={"init_from": "stage1"}, world={"share": 0.5})
    spec = build_spec(config, workspace, "stage3")
    assert spec.init == (workspace.models / "stage1").resolve()
    assert spec.world == (workspace.world / "end_to_end_data.jsonl").resolve()
    assert spec.memory is not None


def test_changed_rows_change_the_specs_identity(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    before = build_spec(make_config(), workspace, "stage1").identity
    workspace.pretrain_data.write_text(workspace.pretrain_data.read_text() * 2)
    assert build_spec(make_config(), workspace, "stage1").identity != before


def test_a_failed_stage_says_which_command_failed_and_why(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    workspace.pretrain_data.write_text('{"data_type": "qa"}\n')
    with pytest.raises(LaunchError) as caught:
        train_stage(make_config(), workspace, "stage1")
    message = str(caught.value)
    assert "clara_model.training.worker" in message
    assert "exit code 1" in message
    assert "pretrain_data.jsonl:1: question: Field required" in message
    assert not (workspace.models / "stage1").exists()


def _leave_a_checkpoint(config: PipelineConfig, workspace: Workspace) -> None:
    spec = build_spec(config, workspace, "stage1")
    folder = spec.work / "step-0000005"
    folder.mkdir(parents=True)
    progress = Progress(spec.identity, 5, 0, spec.layout, spec.settings)
    (folder / "state.json").write_text(json.dumps(asdict(progress)))


def test_an_interrupted_stage_with_other_settings_is_refused_before_it_starts(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    _leave_a_checkpoint(make_config(), workspace)
    with pytest.raises(ConfigError, match=r"training\.stage1\.steps: 6 -> 7\n") as caught:
        train_stage(make_config(steps=7), workspace, "stage1")
    assert caught.value.exit_code == 2
    workspace.pretrain_data.write_text(workspace.pretrain_data.read_text() * 2)
    with pytest.raises(ConfigError, match="rows, base or starting weights changed"):
        train_stage(make_config(), workspace, "stage1")


@pytest.mark.slow
def test_an_interrupted_stage_with_other_settings_starts_anew_by_force(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    _leave_a_checkpoint(make_config(), workspace)
    lines: list[dict] = []
    train_stage(make_config(steps=7), workspace, "stage1", on_metrics=lines.extend, restart=True)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.slow
def test_three_stages_follow_each_other(workspace: Workspace, make_config: MakeConfig) -> None:
    config = make_config(steps=4)
    for stage in ("stage1", "stage2", "stage3"):
        lines: list[dict] = []
        counts = train_stage(config, workspace, stage, on_metrics=lines.extend).counts
        assert [line["step"] for line in lines] == [1, 2, 3, 4]
        assert counts["steps"] == 4
        assert counts["examples"] == 32
        assert counts["loss_first"] == lines[0]["loss"]
        assert counts["loss_last"] == lines[-1]["loss"]
        assert (workspace.models / stage / "config.json").is_file()
        assert (workspace.logs / stage / "metrics.jsonl").is_file()
        assert not (workspace.progress / stage).exists()
    assert 0 <= counts["recall_at_1_last"] <= 1


@pytest.mark.slow
def test_one_and_two_ranks_train_the_same_weights(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    import torch
    from safetensors.torch import load_file

    trained = []
    for ranks in (1, 2):
        config = make_config(num_processes=ranks)
        model = config.model.model_copy(update={"lora_dropout": 0.0})
        config = config.model_copy(update={"model": model})
        train_stage(config, workspace, "stage1")
        folder = workspace.models / "stage1"
        trained.append({k: v for f in sorted(folder.glob("*.safetensors"))
                        for k, v in load_file(f).items()})  # fmt: skip
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=1e-3, atol=1e-4)
