"""Trained stages as versions of the registered model.

A version keeps its own folder in the workspace: its weights, index and predictions, as hard links
that cost no space while the workspace holds the same files, and outlive the next training.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.evaluation.score_tags import score_tags
from tasks.manifests import Manifest, read_manifest
from tasks.plan import STAGES
from tasks.storage import write_json
from tasks.tracking.runs import Tracker
from tasks.tracking.tags import data_fingerprint, describe_pipeline
from tasks.tracking.versions import CANDIDATE, FINGERPRINT_TAG, STAGE_TAG
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

_TAGS = ("clara.base", "clara.compr_rate", "clara.git_commit", "clara.model", "clara.pipeline_id")


def register_stages(config: PipelineConfig, tracker: Tracker, workspace: Workspace) -> None:
    """Register every trained stage once a training; the last stage's becomes the candidate."""
    shared = describe_pipeline(config, workspace, tracker.pipeline_id)
    tags = {name: shared[name] for name in _TAGS if name in shared}
    data = data_fingerprint(workspace)
    for stage in STAGES:
        manifest = read_manifest(workspace, stage)
        if manifest is None or not (workspace.models / stage).is_dir():
            continue
        folder = keep_version(config, workspace, stage, manifest)
        tracker.outbox.add(
            do="version", ref=tracker.pipeline_id, name=config.tracking.registered_model,
            folder=str(folder), alias=CANDIDATE if stage == STAGES[-1] else None,
            tags={
                **tags,
                STAGE_TAG: stage,
                FINGERPRINT_TAG: manifest["fingerprint"],
                "clara.folder": folder.as_uri(),
                **score_tags(workspace, stage),
                **({"clara.data_fingerprint": data} if data else {}),
            },
        )  # fmt: skip


def versions_folder(workspace: Workspace) -> Path:
    """Where the folders of registered versions lie."""
    return workspace.root / "registry"


def keep_version(
    config: PipelineConfig, workspace: Workspace, stage: str, manifest: Manifest
) -> Path:
    """The folder of a stage's version: made if it is new, given what has come since if not."""
    folder = (versions_folder(workspace) / f"{stage}-{manifest['fingerprint'][:12]}").resolve()
    model, base = workspace.models / stage, workspace.models / "base"
    parts = {"model": _link(model, folder / "model"), "base": _link(base, folder / "base")}
    if stage == STAGES[-1] and read_manifest(workspace, "index") is not None:
        for name in ("store", "index"):
            parts[name] = _link(workspace.memory / name, folder / name)
    for path in sorted((workspace.evaluation / "predictions").glob(f"*.{stage}.jsonl")):
        copy = folder / "predictions" / f"{path.name.removesuffix(f'.{stage}.jsonl')}.jsonl"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    serving = config.serving
    write_json(
        folder / "version.json",
        {
            "stage": stage,
            "fingerprint": manifest["fingerprint"],
            "parts": {name: str(path.resolve()) for name, path in parts.items()},
            "weights": manifest["outputs"],
            "attention": config.model.attention,
            "quantization": config.model.quantization,
            "trust_remote_code": config.model.trust_remote_code,
            "top_n": serving.top_n,
            "max_new_tokens": serving.max_new_tokens,
        },
    )
    return folder


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
