"""A trained model in a folder of its own, ready to be moved elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from clara_model.errors import CheckpointError, ConfigError
from tasks.workspace import Workspace

Layout = Literal["safetensors", "ml-clara", "auto-model"]


def export_model(workspace: Workspace, stage: str, folder: Path, layout: Layout) -> Path:
    """Write a stage's checkpoint with its base decoder.

    Args:
        workspace: Where the model was trained.
        stage: "stage1", "stage2" or "stage3".
        folder: A folder to create; gets `base/` and `STAGE/`, which finds its base by that name.
            As "auto-model" it is the checkpoint itself, with `base/` and its code inside.
        layout: Ours, the authors' (`.pth` files), or the one that transformers' `AutoModel` loads.

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

    if layout == "auto-model":
        model = Clara.from_pretrained(source, base_model=workspace.models / "base")
        model.save_pretrained(folder, layout)
        return folder
    shutil.copytree(workspace.models / "base", folder / "base")
    model = Clara.from_pretrained(source, base_model=folder / "base")
    model.save_pretrained(folder / stage, layout=layout)
    return folder / stage
