"""Checkpoints on the way: written aside and renamed, resumed exactly, or by weights alone."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from clara_model.errors import CheckpointError
from clara_model.training.engine import Ranks, barrier
from clara_model.training.intact import write_digests
from clara_model.training.progress import METRICS, STATE, Progress, prune
from clara_model.training.spec import TrainSpec

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine
    from torch import Tensor
    from torch.nn import Parameter

    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)

_TAG = "weights"
_TRAINED = "trained.safetensors"


def save_progress(
    engine: DeepSpeedEngine, spec: TrainSpec, progress: Progress, ranks: Ranks
) -> None:
    """Write trained weights, optimizer state, metrics and position; called by all ranks.

    DeepSpeed's own files continue a run exactly. Beside them are the trained weights, whole and in
    float32, for any other number of ranks or ZeRO stage.
    """
    name = f"step-{progress.step:07d}"
    partial, final = spec.work / f".{name}", spec.work / name
    if ranks.is_first:
        shutil.rmtree(partial, ignore_errors=True)
    barrier(ranks)
    engine.save_checkpoint(
        str(partial), tag=_TAG, save_latest=False, exclude_frozen_parameters=True
    )
    weights = dict(_trained_weights(engine))
    barrier(ranks)
    if ranks.is_first:
        save_file(weights, partial / _TRAINED)
        if spec.metrics_path.is_file():
            shutil.copyfile(spec.metrics_path, partial / METRICS)
        (partial / STATE).write_text(json.dumps(asdict(progress)) + "\n", encoding="utf-8")
        write_digests(partial)
        _flush(partial)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        _flush_entries(spec.work)
        prune(spec.work, spec.keep_checkpoints)
    barrier(ranks)


def restore(engine: DeepSpeedEngine, path: Path) -> None:
    """Load trained weights and optimizer state; called by all ranks."""
    engine.checkpoint_engine.load = _load_safely
    engine.load_checkpoint(str(path), tag=_TAG, load_module_strict=False)


def load_weights(model: Clara, path: Path, engine: DeepSpeedEngine | None = None) -> None:
    """Load the trained weights alone, whatever ranks and ZeRO stage wrote them.

    Called by all ranks; without an engine before it is started, with it afterwards: then what the
    optimizer holds in float32 takes the digits that half precision has no room for.

    Raises:
        CheckpointError: If a weight that is trained now is missing, or has another shape.
    """
    import deepspeed
    from deepspeed.utils import safe_set_full_fp32_param

    trained = dict(model.trainable_parameters())
    weights = load_file(path / _TRAINED)
    masters = {} if engine is None else _unlinked_masters(engine)
    _check_shapes(path, weights, trained)
    for name, parameter in trained.items():
        value = weights[name].to(parameter.device)
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
            parameter.copy_(value)
        safe_set_full_fp32_param(parameter, value)
        if parameter in masters:
            masters[parameter].data.copy_(value)


def _trained_weights(engine: DeepSpeedEngine) -> Iterator[tuple[str, Tensor]]:
    """Whole float32 weights; all ranks must ask for them."""
    from deepspeed.utils import safe_get_full_fp32_param

    masters = _unlinked_masters(engine)
    for name, parameter in engine.module.trainable_parameters():
        whole = safe_get_full_fp32_param(parameter)
        if whole is None:
            whole = masters.get(parameter, parameter).detach()
        yield name, whole.float().cpu().reshape(getattr(parameter, "ds_shape", parameter.shape))


def _unlinked_masters(engine: DeepSpeedEngine) -> dict[Parameter, Tensor]:
    """Float32 copies that DeepSpeed's own functions miss: in half precision without ZeRO."""
    groups = zip(
        getattr(engine.optimizer, "fp16_groups", ()),
        getattr(engine.optimizer, "fp32_groups", ()),
        strict=False,
    )
    return {p: master for half, full in groups for p, master in zip(half, full, strict=True)}


def _check_shapes(path: Path, stored: dict[str, Tensor], trained: dict[str, Parameter]) -> None:
    for name, parameter in trained.items():
        has = list(stored[name].shape) if name in stored else None
        needs = list(getattr(parameter, "ds_shape", parameter.shape))
        if has != needs:
            raise CheckpointError(
                f"{path} has {name} of shape {has}, but {needs} is trained now; add "
                "`--set training.resume=restart` to discard that run"
            )


def _load_safely(path: str, map_location: Any = None) -> Any:
    """DeepSpeed's own loader would unpickle anything; these few classes are all it needs."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    known = [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]
    with torch.serialization.safe_globals(known):
        return torch.load(path, map_location=map_location, weights_only=True)


def _flush(folder: Path) -> None:
    """Bring a folder's files to the disk, so that a renamed folder is a whole one."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            _flush_entries(path)
        else:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _flush_entries(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
