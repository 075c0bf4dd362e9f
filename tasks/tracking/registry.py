"""Trained stages as versions of the registered model.

A version keeps its own folder in the workspace: its weights, index and predictions, as hard links
that cost no space while the workspace holds the same files, and outlive the next training. Of a
workspace on an object store it lies there, and whoever uses it fetches it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks.evaluation.score_tags import score_tags
from tasks.manifests import Manifest, list_files, read_manifest
from tasks.plan import STAGES
from tasks.storage import write_json
from tasks.tracking.runs import Tracker
from tasks.tracking.tags import data_fingerprint, describe_pipeline
from tasks.tracking.versions import CANDIDATE, FINGERPRINT_TAG, FOLDER_TAG, STAGE_TAG
from tasks.travel.mirror import Mirror, fetch_paths, open_mirror
from tasks.travel.registered import REGISTRY, is_remote, list_version, send_version
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

_TAGS = ("clara.base", "clara.compr_rate", "clara.git_commit", "clara.model", "clara.pipeline_id")


def register_stages(config: PipelineConfig, tracker: Tracker, workspace: Workspace) -> None:
    """Register every trained stage once a training; the last stage's becomes the candidate."""
    shared = describe_pipeline(config, workspace, tracker.pipeline_id)
    tags = {name: shared[name] for name in _TAGS if name in shared}
    data = data_fingerprint(workspace)
    mirror = open_mirror(config, workspace)
    for stage in STAGES:
        manifest = read_manifest(workspace, stage)
        if manifest is None:
            continue
        if mirror is not None and is_remote(mirror.remote.uri):
            folder = address = send_stage(config, mirror, stage, manifest)
        elif (workspace.models / stage).is_dir():
            kept = keep_version(config, workspace, stage, manifest)
            folder, address = str(kept), kept.as_uri()
        else:
            continue
        tracker.outbox.add(
            do="version", ref=tracker.pipeline_id, name=config.tracking.registered_model,
            folder=folder, alias=CANDIDATE if stage == STAGES[-1] else None,
            tags={
                **tags,
                STAGE_TAG: stage,
                FINGERPRINT_TAG: manifest["fingerprint"],
                FOLDER_TAG: address,
                **score_tags(workspace, stage),
                **({"clara.data_fingerprint": data} if data else {}),
            },
        )  # fmt: skip


def versions_folder(workspace: Workspace) -> Path:
    """Where the folders of registered versions lie."""
    return workspace.root / REGISTRY


def keep_version(
    config: PipelineConfig, workspace: Workspace, stage: str, manifest: Manifest
) -> Path:
    """The folder of a stage's version: made if it is new, given what has come since if not."""
    folder = (versions_folder(workspace) / _version_name(stage, manifest)).resolve()
    parts = {name: _link(path, folder / name) for name, path in _parts(workspace, stage).items()}
    for name, path in _predictions(workspace, stage).items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    places = {name: str(path.resolve()) for name, path in parts.items()}
    write_json(folder / "version.json", _describe(config, stage, manifest, places))
    return folder


def send_stage(config: PipelineConfig, mirror: Mirror, stage: str, manifest: Manifest) -> str:
    """The address of a stage's version on the store, which is given what it does not have yet."""
    workspace, name = mirror.workspace, _version_name(stage, manifest)
    kept = list_version(mirror, name)
    has = {label.partition("/")[0] for label in kept}
    parts = {part: path for part, path in _parts(workspace, stage).items() if part not in has}
    evaluation = workspace.evaluation
    beside = (evaluation / "predictions", evaluation / "summary.json")
    fetch_paths(mirror, [*parts.values(), *beside])
    if "store" in parts and not _belongs(parts["store"], workspace.memory / "index"):
        del parts["store"]  # who serves the version compresses its passages once
    files = {
        f"{part}/{path.relative_to(folder).as_posix()}": path
        for part, folder in parts.items()
        for path in list_files(folder)
    }
    files |= _predictions(workspace, stage)
    places = {part: part for part in (*_parts(workspace, stage), *has & {"index", "store"})}
    description = versions_folder(workspace) / name / "version.json"
    write_json(description, _describe(config, stage, manifest, places))
    return send_version(mirror, name, {**files, description.name: description}, kept)


def _version_name(stage: str, manifest: Manifest) -> str:
    return f"{stage}-{manifest['fingerprint'][:12]}"


def _parts(workspace: Workspace, stage: str) -> dict[str, Path]:
    """The folders that a version needs for answering, by the names that it gives them."""
    parts = {"model": workspace.models / stage, "base": workspace.models / "base"}
    if stage == STAGES[-1] and read_manifest(workspace, "index") is not None:
        parts |= {name: workspace.memory / name for name in ("store", "index")}
    return parts


def _predictions(workspace: Workspace, stage: str) -> dict[str, Path]:
    """A stage's predictions, by the names that its version gives them."""
    found = sorted((workspace.evaluation / "predictions").glob(f"*.{stage}.jsonl"))
    return {
        f"predictions/{path.name.removesuffix(f'.{stage}.jsonl')}.jsonl": path for path in found
    }


def _belongs(store: Path, index: Path) -> bool:
    """Whether the memories that lie here are of the model that made the index."""
    found = [path / name for path, name in ((store, "store.json"), (index, "index.json"))]
    if not all(path.is_file() for path in found):
        return False
    hashes = [json.loads(path.read_text(encoding="utf-8"))["checkpoint_hash"] for path in found]
    return bool(hashes[0] == hashes[1])


def _describe(
    config: PipelineConfig, stage: str, manifest: Manifest, places: dict[str, str]
) -> dict[str, Any]:
    """What a version says of itself; its parts lie where it says, seen from its own folder."""
    return {
        "stage": stage,
        "fingerprint": manifest["fingerprint"],
        "parts": places,
        "weights": manifest["outputs"],
        "attention": config.model.attention,
        "quantization": config.model.quantization,
        "trust_remote_code": config.model.trust_remote_code,
        "top_n": config.serving.top_n,
        "max_new_tokens": config.serving.max_new_tokens,
    }


def _link(source: Path, target: Path) -> Path:
    """A folder whose files are hard links to another's; that other where links are not known."""
    if target.is_dir():
        return target
    temporary = target.with_name(f".{target.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(source.resolve(), temporary, copy_function=os.link)
    except (OSError, shutil.Error) as err:
        shutil.rmtree(temporary, ignore_errors=True)
        log.warning(
            "%s cannot be kept for the registry without a copy (%s): its version is valid until "
            "the next training", source, err,
        )  # fmt: skip
        return source
    os.replace(temporary, target)
    return target
