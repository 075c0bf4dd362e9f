"""Where one evaluation lies: a folder that holds all that its report is made of."""

from __future__ import annotations

from pathlib import Path

from configs.schema import PipelineConfig
from tasks.workspace import Workspace

_SYSTEMS = "systems"


def evaluation_folder(config: PipelineConfig, workspace: Workspace) -> Path:
    """The pipeline's own evaluation, or a named one of given systems."""
    settings = config.evaluation
    name = settings.name or (_SYSTEMS if settings.systems else None)
    return workspace.root / "evaluations" / name if name else workspace.evaluation


def progress_folder(config: PipelineConfig, workspace: Workspace) -> Path:
    """Where answers and compressed candidates lie until the whole evaluation is done."""
    name = evaluation_folder(config, workspace).relative_to(workspace.root)
    return workspace.progress / "-".join(name.parts)


def prediction_path(folder: Path, benchmark: str, setting: str, system: str) -> Path:
    """Where the predictions of one (benchmark, setting, system) lie."""
    return folder / "predictions" / f"{benchmark}.{setting}.{system}.jsonl"
