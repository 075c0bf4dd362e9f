"""Starting training processes, following them, and what happens when something dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clara_model.errors import LaunchError
from clara_model.training.metrics import read_metrics
from configs.schema import PipelineConfig
from tasks.training.launch import build_spec, train_stage
from tasks.workspace import Workspace

MakeConfig = Callable[..., PipelineConfig]
ROOT = Path(__file__).resolve().parents[3]

# What a user's process does; it is killed from outside.
PARENT = """
import sys
from pathlib import Path
from configs.schema import PipelineConfig
from tasks.training.launch import train_stage
from tasks.workspace import Workspace
config = PipelineConfig.model_validate_json(Path(sys.argv[2]).read_text())
train_stage(config, Workspace(Path(sys.argv[1])), "stage1")
"""


def _weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def _start_parent(config: PipelineConfig, workspace: Workspace) -> subprocess.Popen[bytes]:
    path = workspace.root / "config.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(workspace.root), str(path)], cwd=ROOT
    )


def _descendants(pid: int) -> Iterator[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else ():
        yield int(child)
        yield from _descendants(int(child))


def _wait_for_step(path: Path, step: int, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while len(read_metrics(path)) < step:
        assert time.monotonic() < end, f"{path} did not reach step {step}"
        time.sleep(0.01)


def _all_gone(pids: list[int], timeout_s: float = 20) -> bool:
    end = time.monotonic() + timeout_s
    while any(_is_running(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


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
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_run_ends_like_an_undisturbed_one(
    workspace: Workspace, make_config: MakeConfig, ranks: int
) -> None:
    config = make_config(steps=30, num_processes=ranks)
    spec = build_spec(config, workspace, "stage1")
    train_stage(config, workspace, "stage1")
    expected = _weights(spec.output)
    (spec.output).rename(workspace.models / "undisturbed")
    spec.metrics_path.unlink()
    for step in (3, 12, 18):  # before the first checkpoint, and after others
        parent = _start_parent(config, workspace)
        _wait_for_step(spec.metrics_path, step)
        processes = [parent.pid, *_descendants(parent.pid)]
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        parent.wait()
        assert _all_gone(processes)
        assert not spec.output.exists()
    lines: list[dict] = []
    train_stage(config, workspace, "stage1", on_metrics=lines.extend)
    assert _weights(spec.output) == expected
    assert [line["step"] for line in lines] == list(range(1, 31))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_die_with_the_process_that_started_them(
    workspace: Workspace, make_config: MakeConfig, ranks: int
) -> None:
    config = make_config(steps=5000, num_processes=ranks)
    parent = _start_parent(config, workspace)
    _wait_for_step(build_spec(config, workspace, "stage1").metrics_path, 1)
    processes = list(_descendants(parent.pid))
    assert len(processes) >= ranks
    parent.kill()
    parent.wait()
    assert _all_gone(processes)


@pytest.mark.slow
def test_an_interrupted_stage_leaves_no_process(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    others = set(_descendants(os.getpid()))  # helpers of earlier tests in this process
    processes: list[int] = []

    def interrupt(lines: list[dict]) -> None:
        processes.extend(set(_descendants(os.getpid())) - others)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stage(make_config(steps=5000), workspace, "stage1", on_metrics=interrupt)
    assert processes
    assert _all_gone(processes, timeout_s=0)


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
