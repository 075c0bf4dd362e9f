"""The commands that start a stage's ranks: here, through torchrun, DeepSpeed or Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from clara_model.errors import LaunchError
from clara_model.training.spec import TrainSpec
from configs.launcher import LauncherSettings

_WORKER = "clara_model.training.worker"


def build_command(spec: TrainSpec, path: Path, launcher: LauncherSettings) -> list[str]:
    """The command that starts all ranks, or those of this machine if the others join.

    Args:
        spec: What is trained, by how many ranks.
        path: The spec's file, which every machine reads under this name.
        launcher: How ranks come up.

    Raises:
        LaunchError: If Slurm is asked for outside of a job, or in one with other nodes.
    """
    if launcher.kind == "deepspeed":
        return _deepspeed(spec, path, launcher)
    if launcher.kind == "slurm":
        return _slurm(spec, path, launcher)
    if launcher.nodes > 1:
        return build_node_command(spec, path, launcher, is_first=True)
    worker = ["-m", _WORKER, str(path)]
    if spec.num_processes == 1:
        return [sys.executable, *worker]
    return [*_torchrun(spec), "--standalone", *worker]


def build_node_command(
    spec: TrainSpec, path: Path, launcher: LauncherSettings, *, is_first: bool | None
) -> list[str]:
    """One machine's torchrun, which meets the others' at the first machine's address.

    `is_first` None leaves it to torchrun to find out by the address whether this is the first.
    """
    host, port = launcher.host_and_port
    meeting = {"join_timeout": launcher.join_timeout_s}
    if is_first is not None:
        meeting["is_host"] = int(is_first)
    return [
        *_torchrun(spec),
        "--nnodes", str(spec.nodes),
        "--rdzv_backend", "c10d",
        "--rdzv_endpoint", f"{host}:{port}",
        "--rdzv_id", f"clara-{spec.stage}",
        "--rdzv_conf", ",".join(f"{key}={value}" for key, value in meeting.items()),
        "-m", _WORKER, str(path),
    ]  # fmt: skip


def _torchrun(spec: TrainSpec) -> list[str]:
    ranks = ["--nproc_per_node", str(spec.ranks_per_node)]
    return [sys.executable, "-m", "torch.distributed.run", *ranks]


def _deepspeed(spec: TrainSpec, path: Path, launcher: LauncherSettings) -> list[str]:
    assert launcher.hostfile is not None
    host, port = launcher.host_and_port
    return [
        sys.executable, "-m", "deepspeed.launcher.runner",
        "--hostfile", str(launcher.hostfile.absolute()),
        "--num_nodes", str(spec.nodes),
        "--num_gpus", str(spec.ranks_per_node),
        *(["--master_addr", host] if host else []),
        "--master_port", str(port),
        *(["--no_ssh_check"] if spec.nodes == 1 else []),
        "--no_local_rank", "--module", _WORKER, str(path),
    ]  # fmt: skip


def _slurm(spec: TrainSpec, path: Path, launcher: LauncherSettings) -> list[str]:
    nodes = os.environ.get("SLURM_JOB_NUM_NODES")
    if nodes is None:
        raise LaunchError(
            "training.launcher.kind is slurm, but this is no Slurm job: submit one with sbatch "
            "(docs/cluster.md has a script), or set kind to torchrun"
        )
    if int(nodes) != spec.nodes:
        raise LaunchError(
            f"training.launcher.nodes is {spec.nodes}, but the Slurm job has {nodes}: set "
            f"training.launcher.nodes={nodes}, or submit with --nodes={spec.nodes}"
        )
    host, port = launcher.host_and_port
    known = launcher.model_copy(update={"address": f"{host or _first_node()}:{port}"})
    tasks = ["--nodes", nodes, "--ntasks", nodes, "--ntasks-per-node", "1"]
    return [
        "srun", *tasks, "--kill-on-bad-exit=1",
        *build_node_command(spec, path, known, is_first=None),
    ]  # fmt: skip


def _first_node() -> str:
    """Host name of the job's first node."""
    nodes = os.environ.get("SLURM_JOB_NODELIST", "")
    if shutil.which("scontrol") is None:
        raise LaunchError(
            "scontrol is not on PATH here, so the job's first node is not known: set "
            "training.launcher.address to its name"
        )
    done = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, timeout=60
    )
    if done.returncode or not done.stdout.split():
        raise LaunchError(f"`scontrol show hostnames {nodes}` failed: {done.stderr.strip()}")
    return done.stdout.split()[0]
