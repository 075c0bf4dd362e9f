"""A trained model in a folder of its own, ready to be moved elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from clara_model.errors import CheckpointError, ConfigError
from tasks.workspace import Workspace


def export_model(
    workspace: Workspace, stage: str, folder: Path, layout: Literal["safetensors", "ml-clara"]
) -> Path:
    """Write a stage's checkpoint and its base decoder side by side.

    Args:
        workspace: Where the model was trained.
        stage: "stage1", "stage2" or "stage3".
        folder: A folder to create; gets `base/` and `STAGE/`, which finds its base by that name.
        layout: Ours, or the authors' (`.pth` files).

    Returns:
        The checkpoint's folder, for `Clara.from_pretrained`.

    Raises:
        CheckpointError: If the stage is not trained.
        ConfigError: If the folder exists.
    """
    source = workspace.models / stage
    if not (source / "config.json").is_file():
        raise CheckpointError(f"{source}: no checkpoint; `clara train {stage}` makes it")
    if folder.exists():
        raise ConfigError(f"{folder} exists; name a folder that does not")
    from clara_model import Clara

    shutil.copytree(workspace.models / "base", folder / "base")
    model = Clara.from_pretrained(source, base_model=folder / "base")
    model.save_pretrained(folder / stage, layout=layout)
    return folder / stage
