"""What makes a checkpoint folder load without this project."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from clara_model.config import ClaraConfig

CODE = Path(__file__).with_name("modeling_clara.py")
BASE = "base"
_CLASSES = {
    "AutoConfig": "modeling_clara.CLaRaConfig",
    "AutoModel": "modeling_clara.CLaRa",
}


def make_self_contained(folder: Path, config: ClaraConfig, base_path: Path | None) -> ClaraConfig:
    """Put the code, and the decoder where it is a folder, into a checkpoint's folder.

    Args:
        folder: The checkpoint's.
        config: The model's.
        base_path: The decoder's folder; None leaves it to its hub id.

    Returns:
        The config to write, which names code and decoder.
    """
    shutil.copyfile(CODE, folder / CODE.name)
    if base_path is not None:
        shutil.copytree(base_path, folder / BASE)
        config = replace(config, decoder_model_name=BASE)
    return replace(config, extra=config.extra | {"auto_map": _CLASSES})
