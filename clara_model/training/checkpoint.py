"""Checkpoints on the way: written aside and renamed, the last two kept, resumed exactly."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clara_model.training.engine import Ranks, barrier

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

log = logging.getLogger(__name__)

_KEPT = 2
_STATE = "state.json"
_TAG = "weights"


@dataclass(frozen=True)
class Progress:
    """Where a training run stands.

    Random numbers and the order of examples follow from the step, so nothing else is needed.
    """

    identity: str
    step: int
    skipped: int


def save_progress(engine: DeepSpeedEngine, folder: Path, progress: Progress, ranks: Ranks) -> None:
    """Write trainable weights, optimizer state and position; called by all ranks."""
    name = f"step-{progress.step:07d}"
    partial, final = folder / f".{name}", folder / name
    if ranks.is_first:
        shutil.rmtree(partial, ignore_errors=True)
    barrier(ranks)
    engine.save_checkpoint(
        str(partial), tag=_TAG, save_latest=False, exclude_frozen_parameters=True
    )
    barrier(ranks)
    if ranks.is_first:
        (partial / _STATE).write_text(json.dumps(asdict(progress)) + "\n", encoding="utf-8")
        _flush(partial)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        for old in _finished(folder)[:-_KEPT]:
            shutil.rmtree(old)
    barrier(ranks)


def find_progress(folder: Path, identity: str) -> tuple[Path, Progress] | None:
    """The newest checkpoint of this training, if any; newer ones of another are named."""
    for path in reversed(_finished(folder)):
        progress = Progress(**json.loads((path / _STATE).read_text(encoding="utf-8")))
        if progress.identity == identity:
            return path, progress
        log.warning("%s is of other settings, rows or weights and is not continued", path)
    return None


def restore(engine: DeepSpeedEngine, path: Path) -> None:
    """Load trainable weights and optimizer state; called by all ranks."""
    engine.checkpoint_engine.load = _load_safely
    engine.load_checkpoint(str(path), tag=_TAG, load_module_strict=False)


def remove_stale(folder: Path, identity: str) -> None:
    """Remove checkpoints of another training and what a kill left half written."""
    for path in folder.glob(".step-*"):
        shutil.rmtree(path)
    for path in _finished(folder):
        if json.loads((path / _STATE).read_text(encoding="utf-8"))["identity"] != identity:
            shutil.rmtree(path)


def _load_safely(path: str, map_location: Any = None) -> Any:
    """DeepSpeed's own loader would unpickle anything; these few classes are all it needs."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    known = [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]
    with torch.serialization.safe_globals(known):
        return torch.load(path, map_location=map_location, weights_only=True)


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if (path / _STATE).is_file())


def _flush(folder: Path) -> None:
    """Bring a folder's files to the disk, so that a renamed folder is a whole one."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
