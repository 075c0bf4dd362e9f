"""The commands that start ranks here, on several machines, and in a Slurm job."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from clara_model.errors import ConfigError, LaunchError
from clara_model.training.spec import TrainSpec
from configs.launcher import LauncherSettings
from configs.schema import PipelineConfig
from tasks.training.join import join
from tasks.training.launch import build_spec, train_stage
from tasks.training.launchers import build_command
from tasks.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]
PATH = Path("/data/spec.json")


def spec_of(tmp_path: Path, ranks: int, **launcher: Any) -> tuple[TrainSpec, LauncherSettings]:
    config = PipelineConfig.model_validate(
        {"training": {"num_processes": ranks, "launcher": launcher}}
    )
    return build_spec(config, Workspace(tmp_path), "stage1"), config.training.launcher


def command_of(tmp_path: Path, ranks: int, **launcher: Any) -> list[str]:
    spec, settings = spec_of(tmp_path, ranks, **launcher)
    return build_command(spec, PATH, settings)[1:]


def test_one_rank_needs_no_launcher(tmp_path: Path) -> None:
    assert command_of(tmp_path, 1) == ["-m", "clara_model.training.worker", str(PATH)]


def test_ranks_of_one_machine_stand_alone(tmp_path: Path) -> None:
    command = " ".join(command_of(tmp_path, 4))
    assert command.startswith("-m torch.distributed.run --nproc_per_node 4 --standalone -m clara")


def test_the_first_of_several_machines_hosts_the_meeting(tmp_path: Path) -> None:
    command = command_of(tmp_path, 8, nodes=2, address="head:29511", join_timeout_s=90)
    text = " ".join(command)
    assert "--nproc_per_node 8 --nnodes 2 --rdzv_backend c10d --rdzv_endpoint head:29511" in text
    assert "--rdzv_conf join_timeout=90,is_host=1" in text


def test_ranks_are_counted_over_all_machines(tmp_path: Path) -> None:
    spec, _ = spec_of(tmp_path, 8, nodes=2, address="head")
    assert (spec.num_processes, spec.ranks_per_node) == (16, 8)
    assert spec.layout["ranks"] == 16
    alone, _ = spec_of(tmp_path, 1)
    assert alone.identity == spec.identity


def test_deepspeeds_launcher_reads_the_hostfile(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    command = command_of(tmp_path, 8, kind="deepspeed", nodes=2, hostfile=hosts, address="head:1")
    assert command == [
        "-m", "deepspeed.launcher.runner", "--hostfile", str(hosts), "--num_nodes", "2",
        "--num_gpus", "8", "--master_addr", "head", "--master_port", "1", "--no_local_rank",
        "--module", "clara_model.training.worker", str(PATH),
    ]  # fmt: skip


def test_in_a_slurm_job_srun_starts_one_torchrun_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$3" = "gpu[07-08]" ] && printf "gpu07\\ngpu08\\n"\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu[07-08]")
    spec, settings = spec_of(tmp_path, 4, kind="slurm", nodes=2)
    text = " ".join(build_command(spec, PATH, settings))
    assert text.startswith("srun --nodes 2 --ntasks 2 --ntasks-per-node 1 --kill-on-bad-exit=1 ")
    assert "--nproc_per_node 4 --nnodes 2" in text
    assert "--rdzv_endpoint gpu07:29500" in text
    assert "is_host" not in text  # torchrun knows by its own names


def test_slurm_outside_of_its_job_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)
    with pytest.raises(LaunchError, match="no Slurm job"):
        command_of(tmp_path, 4, kind="slurm", nodes=2)
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "3")
    with pytest.raises(LaunchError, match=r"set training\.launcher\.nodes=3"):
        command_of(tmp_path, 4, kind="slurm", nodes=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nodes": 2}, "set address"),
        ({"kind": "deepspeed"}, "needs a hostfile"),
        ({"hostfile": "hosts"}, "the others use none"),
        ({"nodes": 2, "address": "head:port"}, "address"),
    ],
)
def test_half_a_launcher_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LauncherSettings.model_validate(values)


def test_there_is_nothing_to_join_on_one_machine(
    workspace: Workspace, make_config: Callable[..., PipelineConfig]
) -> None:
    with pytest.raises(ConfigError, match="nothing to join"):
        join(make_config(), workspace)


@pytest.mark.parametrize("page", ["cluster.md", "cluster/submit.slurm"])
def test_every_setting_that_the_page_names_is_one(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    keys = set(re.findall(r"--set ((?:training|execution)[.\w]+)=", text))
    assert keys
    for key in keys:
        part: Any = PipelineConfig()
        for name in key.split("."):
            assert name in type(part).model_fields, key
            part = getattr(part, name)


def test_the_slurm_script_is_shell() -> None:
    script = ROOT / "docs" / "cluster" / "submit.slurm"
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_deepspeeds_launcher_trains_on_the_hosts_of_its_file(
    workspace: Workspace, make_config: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost slots=2\n")
    launcher = {"kind": "deepspeed", "hostfile": hosts, "address": "127.0.0.1:29577"}
    config = make_config(steps=3, num_processes=2, launcher=launcher)
    counts = train_stage(config, workspace, "stage1").counts
    assert counts["steps"] == 3
    assert (workspace.models / "stage1" / "config.json").is_file()
