"""Which checkpoint on the way a run continues from. Free of torch, so a launcher can ask, too."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clara_model.errors import ConfigError
from clara_model.training.intact import find_damage
from clara_model.training.spec import TrainSpec

log = logging.getLogger(__name__)

STATE = "state.json"
METRICS = "metrics.jsonl"  # in a checkpoint: the lines up to its step
_INPUTS = "inputs_hash"


@dataclass(frozen=True)
class Progress:
    """Where a training run stands.

    Random numbers (each step seeds its own), the order of the examples and the learning rate
    follow from the step; how losses went before is in the metrics beside this.

    Args:
        identity: Of the spec.
        step: Steps done.
        skipped: Those of them that changed nothing.
        layout: How the optimizer's state is cut.
        settings: Of the spec, to tell what has changed since.
        is_best: Whether it is the best so far; the newest such one is kept.
    """

    identity: str
    step: int
    skipped: int
    layout: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    is_best: bool = False


@dataclass(frozen=True)
class Start:
    """A checkpoint to continue from.

    Args:
        path: Its folder.
        progress: Its state.
        is_exact: Whether the optimizer continues as well, not the weights alone.
    """

    path: Path
    progress: Progress
    is_exact: bool


def find_start(spec: TrainSpec) -> Start | None:
    """The newest checkpoint of a run that was cut off; None where there is none to continue.

    One whose files are damaged is passed over, and said to be: the one before it continues.

    Raises:
        ConfigError: If it was made with other settings, rows or weights, and `training.resume`
            does not say what to do about it; shows the differences.
    """
    found = next(_intact(spec.work), None)
    if found is None:
        return None
    path, progress = found
    if progress.identity == spec.identity:
        return Start(path, progress, is_exact=progress.layout == spec.layout)
    if spec.resume == "refuse":
        raise ConfigError(
            f"{spec.stage}: {path} is of an interrupted run with other settings:\n"
            + "".join(f"  {line}\n" for line in _differences(progress.settings, spec.settings))
            + "Set them back to continue it, or add `--set training.resume=restart` (it is "
            "discarded) or `--set training.resume=continue` (its weights and step are kept, the "
            "optimizer starts anew)"
        )
    return Start(path, progress, is_exact=False) if spec.resume == "continue" else None


def describe_change(start: Start, spec: TrainSpec) -> str:
    """Why the weights alone continue."""
    if start.progress.identity != spec.identity:
        why = "; ".join(_differences(start.progress.settings, spec.settings))
    else:
        why = ", ".join(_differences(start.progress.layout, spec.layout))
    return f"the weights of step {start.progress.step} continue, the optimizer starts anew ({why})"


def finished(folder: Path) -> list[tuple[Path, Progress]]:
    """Whole checkpoints, by step."""
    states = ((path, _read(path / STATE)) for path in sorted(folder.glob("step-*")))
    return [(path, progress) for path, progress in states if progress is not None]


def remove_stale(spec: TrainSpec, start: Start | None) -> None:
    """Remove checkpoints of other runs, those after the start, and what a kill left half done.

    Of those after the start none was whole.
    """
    for path in spec.work.glob(".step-*"):
        shutil.rmtree(path)
    keep = None if start is None else start.path
    last = 0 if start is None else start.progress.step
    for path in spec.work.glob("step-*"):
        progress = _read(path / STATE)
        is_ours = progress is not None and progress.identity == spec.identity
        if path != keep and not (is_ours and progress is not None and progress.step <= last):
            log.info("discarding %s", path)
            shutil.rmtree(path)


def prune(folder: Path, keep: int) -> None:
    """Leave the newest checkpoints, and the newest of those that were the best."""
    found = finished(folder)
    best = [path for path, progress in found if progress.is_best]
    kept = {path for path, _ in found[-keep:]} | set(best[-1:])
    for path, _ in found:
        if path not in kept:
            shutil.rmtree(path)


def _intact(folder: Path) -> Iterator[tuple[Path, Progress]]:
    """Whole checkpoints whose files are as they were written, the newest first."""
    for path, progress in reversed(finished(folder)):
        damage = find_damage(path)
        if damage is None:
            yield path, progress
        else:
            log.warning("%s is damaged (%s); it is not used", path, damage)


def _read(path: Path) -> Progress | None:
    """A checkpoint's state; None where there is none, or none that can be read."""
    try:
        return Progress(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
        log.warning("%s is damaged; its checkpoint is not used", path)
        return None


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines `key: old -> new`, of what the configuration names; inputs in words."""
    names = [n for n in [*old, *(n for n in new if n not in old)] if old.get(n) != new.get(n)]
    lines = [
        f"{name}: {_show(old, name)} -> {_show(new, name)}" for name in names if name != _INPUTS
    ]
    if _INPUTS in names:
        lines.append("rows, base or starting weights changed")
    return lines


def _show(settings: dict[str, Any], name: str) -> str:
    return json.dumps(settings[name]) if name in settings else "(not set)"
