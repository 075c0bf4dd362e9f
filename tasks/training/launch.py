"""Start a stage's training processes, follow them, and tell what came of it."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from clara_model.config import Stage
from clara_model.errors import ConfigError, LaunchError
from clara_model.training.metrics import read_metrics
from clara_model.training.progress import find_start
from clara_model.training.spec import MEMORY_PROGRESS, ModelPart, StagePart, TrainSpec
from configs.launcher import LauncherSettings
from configs.schema import PipelineConfig
from tasks.manifests import hash_path
from tasks.storage import StepResult, hash_json, write_text
from tasks.training.accelerator_profile import choose_precision, let_precision_change
from tasks.training.failure import describe_failure
from tasks.training.follow import MetricsFollower
from tasks.training.launchers import build_command
from tasks.training.processes import started_ranks
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

OnMetrics = Callable[[list[dict[str, Any]]], None]

SPEC = "spec.json"
_HERE = LauncherSettings()
_POLL_S = 0.25
_EDGE = 0.05  # the first and last share of the steps that "first" and "last" loss average over


def train_stage(
    config: PipelineConfig,
    workspace: Workspace,
    stage: Stage,
    on_metrics: OnMetrics | None = None,
    *,
    restart: bool = False,
) -> StepResult:
    """Train one stage to its end, continuing where an earlier try was cut off.

    Args:
        config: The pipeline's.
        workspace: Where rows and checkpoints are.
        stage: "stage1", "stage2" or "stage3".
        on_metrics: Called with new metric lines, each with its "step" (from 1). A continued run
            hands over the lines from before the cut as well.
        restart: Discard an interrupted try with other settings, whatever `training.resume` says.

    Raises:
        ConfigError: If such a try is there, and may not be touched; shows the differences.
        LaunchError: If a process fails (holds the command, its exit code and its last lines), or
            was asked to stop from outside.
    """
    spec = build_spec(config, workspace, stage)
    if restart:
        spec = spec.model_copy(update={"resume": "restart"})
    return train_spec(spec, on_metrics, config.training.launcher)


def train_spec(
    spec: TrainSpec,
    on_metrics: OnMetrics | None = None,
    launcher: LauncherSettings = _HERE,
) -> StepResult:
    """Train what a spec says, as `train_stage` does."""
    started = time.monotonic()
    find_start(spec)
    spec.logs.mkdir(parents=True, exist_ok=True)
    spec.work.mkdir(parents=True, exist_ok=True)
    for path in (spec.logs / MEMORY_PROGRESS, spec.stopped_path, *_error_paths(spec)):
        path.unlink(missing_ok=True)
    path = spec.work / SPEC
    write_text(path, spec.model_dump_json(indent=2) + "\n")
    command = build_command(spec, path, launcher)
    if launcher.needs_joiners:
        log.info("%s: meets the other machines at %s", spec.stage, launcher.address)
    _run(spec, command, on_metrics)
    lines = read_metrics(spec.metrics_path)
    shutil.rmtree(spec.work)
    return StepResult(counts=_counts(spec, lines, time.monotonic() - started))


def build_spec(config: PipelineConfig, workspace: Workspace, stage: Stage) -> TrainSpec:
    """Everything that a training process needs to know.

    Raises:
        ConfigError: If the stage is unknown.
    """
    rows = {
        "stage1": workspace.pretrain_data,
        "stage2": workspace.instruction_data,
        "stage3": workspace.end_to_end_data,
    }
    if stage not in rows:
        raise ConfigError(f"stage is {stage!r}; choose one of {', '.join(rows)}")
    training = config.training
    init = {
        "stage1": None,
        "stage2": workspace.models / "stage1",
        "stage3": workspace.models / training.stage3.init_from,
    }[stage]
    base = (workspace.models / "base").resolve()
    world = workspace.world / rows[stage].name if training.world.share > 0 else None
    documents = rows[stage]
    if stage == "stage3" and config.negatives.strategies.memory > 0:
        documents = workspace.end_to_end_memory
    inputs = [path for path in (documents, world, base, init) if path is not None]
    work = (workspace.progress / stage).resolve()
    is_auto = training.precision == "auto"
    precision = choose_precision(work) if is_auto else training.precision
    spec = TrainSpec(
        stage=stage,
        documents=documents.resolve(),
        world=world.resolve() if world else None,
        world_share=training.world.share,
        base=base,
        init=init.resolve() if init else None,
        output=(workspace.models / stage).resolve(),
        work=work,
        logs=(workspace.logs / stage).resolve(),
        memory=(workspace.memory / "store").resolve() if stage == "stage3" else None,
        inputs_hash=hash_json([hash_path(path, workspace) for path in inputs]),
        model=ModelPart(**_known(ModelPart, config.model.model_dump())),
        training=StagePart(**_known(StagePart, getattr(training, stage).model_dump())),
        precision=precision,
        num_processes=training.num_processes * training.launcher.nodes,
        nodes=training.launcher.nodes,
        **_known(TrainSpec, training.model_dump(exclude={"world", "precision", "num_processes"})),
    )
    return let_precision_change(spec) if is_auto else spec


def _known(part: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in part.model_fields}


def _run(spec: TrainSpec, command: list[str], on_metrics: OnMetrics | None) -> None:
    """Run the processes to their end, showing progress and handing metrics on."""
    log_start = spec.log_path.stat().st_size if spec.log_path.exists() else 0
    with (
        spec.log_path.open("ab") as output,
        started_ranks(command, spec, output) as child,
        MetricsFollower(spec, on_metrics) as follower,
    ):
        while child.poll() is None:
            follower.poll()
            time.sleep(_POLL_S)
        follower.poll()
    if child.returncode == 0:
        return
    if spec.stopped_path.is_file():
        step = spec.stopped_path.read_text(encoding="utf-8").strip()
        raise LaunchError(
            f"{spec.stage}: asked to stop, and did {step}; started again, it continues there"
        )
    cause = describe_failure(spec, child.returncode, _new_lines(spec.log_path, log_start))
    raise LaunchError(
        f"{spec.stage}: `{' '.join(command)}` ended with exit code {child.returncode}; "
        "started again, it continues after its last checkpoint.\n"
        f"{cause}\n(the whole log: {spec.log_path})"
    )


def _error_paths(spec: TrainSpec) -> list[Path]:
    return [spec.error_path(rank) for rank in range(spec.num_processes)]


def _new_lines(path: Path, start: int) -> list[str]:
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read().decode(errors="replace").splitlines()


def _counts(spec: TrainSpec, lines: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    counts = {
        "steps": len(lines),
        "examples": len(lines) * spec.training.batch_size,
        "skipped_steps": lines[-1]["skipped"],
        "seconds": round(seconds, 2),
    }
    for name in ("loss", "recall_at_1", "recall_at_k"):
        values = [line[name] for line in lines if line.get(name) is not None]
        if values:
            edge = max(round(len(values) * _EDGE), 1)
            counts[f"{name}_first"] = sum(values[:edge]) / edge
            counts[f"{name}_last"] = sum(values[-edge:]) / edge
    evaluated: dict[str, Any] = next((line for line in reversed(lines) if "eval_loss" in line), {})
    return counts | {
        name: value
        for name, value in evaluated.items()
        if value is not None and (name.startswith("eval_") or name == "stopped_early_at")
    }
