"""A worker's turn at a step: alone, with what the step reads at hand, its results sent after it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.leases import Hold, hold_lease, require_held
from tasks.manifests import Manifest, Step, hash_files, is_current, list_files, read_manifest
from tasks.storage import read_records
from tasks.travel.checkpoints import fetch_checkpoint, remove_checkpoints, sending_checkpoints
from tasks.travel.failures import forget_failure, telling_failure
from tasks.travel.mirror import (
    Mirror,
    fetch_paths,
    is_sent,
    note_sent,
    open_leases,
    open_mirror,
    refresh,
    sent_files,
)
from tasks.travel.state import forget_paths, read_state
from tasks.travel.upload import upload_step
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

_STAGES = ("stage1", "stage2", "stage3")


@contextmanager
def take_turn(
    step: Step, workspace: Workspace, config: PipelineConfig, *, force: bool = False
) -> Iterator[bool]:
    """Wait until nobody else is at a step; the block does it, if it is told that it is due.

    What another worker has just finished is not due, even by force. In the mirror of a remote
    workspace the step's inputs are fetched before the block, and its outputs sent after it.

    Args:
        step: The step.
        workspace: Where it works.
        config: The pipeline's.
        force: Whether a step that is current is done all the same.
    """
    mirror = open_mirror(config, workspace)
    if mirror is not None:
        refresh(mirror)
    if (
        not force
        and is_current(step, workspace)
        and (mirror is None or is_sent(mirror, step.record))
    ):
        yield False
        return
    leases = open_leases(config, workspace)
    with hold_lease(step.name, leases, expires_s=config.execution.lease_s) as hold:
        if mirror is not None:
            refresh(mirror)
        if (hold.waited or not force) and is_current(step, workspace):
            if mirror is not None and not is_sent(mirror, step.record):
                send_step(mirror, step, hold)  # finished here before, and not sent
            yield False
            return
        if mirror is None:
            yield True
            return
        fetch_paths(mirror, step.inputs)
        forget_paths(workspace.root, step.outputs)
        with (
            telling_failure(mirror, step.name, hold),
            _continuing(mirror, step.name, config),
        ):
            yield True
        send_step(mirror, step, hold)


def send_step(mirror: Mirror, step: Step, hold: Hold) -> None:
    """Send a finished step's outputs, what it left beside them, and its manifest last."""
    workspace = mirror.workspace
    manifest = read_manifest(workspace, step.record)
    assert manifest is not None, "sent only after its manifest was written"
    require_held(step.name, hold)
    before = sent_files(mirror, step.record)
    known = read_state(workspace.root)
    others = known.files.keys() - before.keys() if known else set()
    described = _describe(manifest, step, workspace, others)
    upload_step(mirror.remote, step.record, workspace.root, described, before)
    note_sent(mirror, step.record, described)
    forget_failure(mirror, step.name)
    log.info("%s: sent to %s", step.name, mirror.remote.uri)
    if step.name in _STAGES:
        remove_checkpoints(mirror.remote, step.name)


def _describe(
    manifest: Manifest, step: Step, workspace: Workspace, others: Collection[str]
) -> Manifest:
    """The manifest with the files of the step, and none that another step answers for."""
    outputs = _files_of(step.outputs)
    beside = _files_of([workspace.logs / step.name, *_beside(step, workspace)])
    hashes = hash_files([*outputs, *beside], workspace)
    files = {
        path.relative_to(workspace.root).as_posix(): {"size": path.stat().st_size, "sha256": value}
        for path, value in hashes.items()
    }
    own = {path.relative_to(workspace.root).as_posix() for path in outputs}
    folders = [p.relative_to(workspace.root).as_posix() for p in step.outputs if p.is_dir()]
    rejected = read_records(workspace.rejected) if workspace.rejected.is_file() else []
    return {
        **manifest,
        "files": {name: e for name, e in files.items() if name in own or name not in others},
        "folders": folders,
        "rejects": [row for row in rejected if row.get("step") == step.record],
    }


def _beside(step: Step, workspace: Workspace) -> list[Path]:
    """What a step leaves for people and for later commands, beside its results."""
    # Candidates are kept in one place for all evaluations: a report is rebuilt from them.
    evaluated = [step.outputs[0].parent, workspace.evaluation / "candidates"]
    beside = {"evaluate": evaluated, "mine": [workspace.audit]}
    return beside.get(step.name, [])


def _files_of(paths: Iterable[Path]) -> list[Path]:
    return [
        file
        for path in paths
        for file in ([path] if path.is_file() else list_files(path) if path.is_dir() else [])
    ]


@contextmanager
def _continuing(mirror: Mirror, step: str, config: PipelineConfig) -> Iterator[None]:
    """A stage goes on where another worker was cut off, and leaves its own checkpoints there."""
    if step not in _STAGES:
        yield
        return
    work = mirror.workspace.progress / step
    minutes = getattr(config.training, step).checkpoint_minutes
    fetch_checkpoint(mirror.remote, step, work)
    with sending_checkpoints(mirror.remote, step, work, 60 * minutes):
        yield
