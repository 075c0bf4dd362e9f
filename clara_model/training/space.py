"""Room on the disk, asked for before it is needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.errors import ClaraError
from clara_model.modeling.embedding import input_weight, output_weight
from clara_model.training.progress import finished
from clara_model.training.spec import TrainSpec

if TYPE_CHECKING:
    from clara_model.modeling.clara import Clara
    from clara_model.training.dataset import Dataset

_GB = 1e9
_MARGIN = 1.05  # file headers, folders, the log
_SPARE = 2  # checkpoints beside those kept: the best one, and one being written


@dataclass(frozen=True)
class Need:
    """Bytes that something will take in a folder."""

    folder: Path
    size: int
    what: str


def require_room(model: Clara, spec: TrainSpec, dataset: Dataset) -> None:
    """Check, before a stage starts, that all it will write fits.

    Raises:
        ClaraError: If it does not.
    """
    checkpoints = (spec.keep_checkpoints + _SPARE) * _checkpoint_size(model, spec)
    needs = [
        Need(spec.work, checkpoints - size_of(spec.work), "checkpoints on the way"),
        Need(spec.output, _model_size(model), "the trained model"),
    ]
    if spec.stage == "stage3" and spec.memory is not None:
        documents = len(set(dataset.documents()))
        size = memory_size(model, documents) - size_of(spec.memory)
        needs.append(Need(spec.memory, size, "memories"))
    remedy = "lower training.keep_checkpoints, or move the workspace to a larger disk"
    require_space(needs, remedy=remedy)


def require_room_to_save(model: Clara, spec: TrainSpec) -> None:
    """Check, before a checkpoint is written, that it fits.

    Raises:
        ClaraError: If it does not.
    """
    found = finished(spec.work)
    size = size_of(found[-1][0]) if found else _checkpoint_size(model, spec)
    require_space(
        [Need(spec.work, size, "the next checkpoint")],
        remedy="and start again: training continues after its last checkpoint",
    )


def require_space(needs: Sequence[Need], *, remedy: str) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        needs: Summed up where folders lie on the same file system.
        remedy: What to do but making room.

    Raises:
        ClaraError: If a file system has too little free; names folder, bytes and remedy.
    """
    by_device: dict[int, list[Need]] = {}
    for need in needs:
        by_device.setdefault(os.stat(_existing(need.folder)).st_dev, []).append(need)
    for group in by_device.values():
        folder = _existing(group[0].folder)
        needed = sum(max(need.size, 0) for need in group) * _MARGIN
        free = shutil.disk_usage(folder).free
        if needed > free:
            parts = ", ".join(f"{need.what} {need.size / _GB:.3g} GB" for need in group)
            raise ClaraError(
                f"{group[0].folder}: {needed / _GB:.3g} GB of disk space will be needed ({parts}), "
                f"but {free / _GB:.3g} GB are free; make room, {remedy}"
            )


def size_of(folder: Path) -> int:
    """Bytes in a folder's files; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def memory_size(model: Clara, documents: int) -> int:
    """Bytes of so many documents' memories."""
    config, table = model.config, input_weight(model.decoder)
    per_document = config.doc_max_length // config.compr_rate * table.shape[1]
    return documents * per_document * table.element_size()


def _checkpoint_size(model: Clara, spec: TrainSpec) -> int:
    """All ranks' files together."""
    numbers = sum(
        getattr(parameter, "ds_numel", parameter.numel())
        for _, parameter in model.trainable_parameters()
    )
    # In float32: whole weights, AdamW's two moments, ZeRO's copies; and weights as they are.
    return numbers * (4 + 2 * 4 + 4 + (4 if spec.precision == "fp32" else 2))


def _model_size(model: Clara) -> int:
    """Adapters and embeddings."""
    tensors = [t for name in model.adapters.names for t in model.adapters.state(name).values()]
    tensors.append(input_weight(model.decoder))
    if not model.embedding.is_tied:
        tensors.append(output_weight(model.decoder))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
