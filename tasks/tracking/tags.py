"""Names and tags of runs: what two of them are compared by."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.manifests import code_version, read_manifest
from tasks.storage import hash_json
from tasks.workspace import Workspace

# The step whose outputs are the rows that models learn from, and what stands in for it before.
_DATA_STEPS = ("mine", "extract")


def describe_pipeline(config: PipelineConfig, workspace: Workspace, run_id: str) -> dict[str, str]:
    """Tags that all runs of a pipeline share."""
    data, commit = data_fingerprint(workspace), _git_commit()
    return {
        "clara.pipeline_id": run_id,
        "clara.workspace": config.remote or str(workspace.root),
        "clara.code_version": _code_version(),
        "clara.model": config.tracking.registered_model,
        "clara.base": config.model.base,
        "clara.compr_rate": str(config.model.compr_rate),
        "clara.doc_max_length": str(config.model.doc_max_length),
        "clara.host": platform.node(),
        "mlflow.source.name": "clara",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        **({"clara.git_commit": commit, "mlflow.source.git.commit": commit} if commit else {}),
        **({"clara.data_fingerprint": data} if data else {}),
        **variant_tags(config),
    }


def run_name(config: PipelineConfig, what: str, run_id: str) -> str:
    """Name of a run: what it does, the base, the rate, and which pipeline's it is."""
    base = Path(config.model.base).name
    return f"{what} {base} r{config.model.compr_rate} {run_id[:8]}"


def data_fingerprint(workspace: Workspace) -> str | None:
    """What the rows are by their content, 16 digits; of the documents' text before there are rows.

    None before anything has been read.
    """
    for step in _DATA_STEPS:
        manifest = read_manifest(workspace, step)
        if manifest is not None and manifest.get("outputs"):
            return hash_json(manifest["outputs"])[:16]
    return None


def variant_tags(config: PipelineConfig) -> dict[str, str]:
    """What tells a sweep's variants apart when runs are compared; none for other runs."""
    sweep = config.sweep
    if sweep is None or config.workspace.name != sweep.label(sweep.values[0]):
        return {}
    return {"clara.sweep": config.workspace.name, f"clara.sweep.{sweep.key}": str(sweep.values[0])}


@cache
def _code_version() -> str:
    return code_version()


@cache
def _git_commit() -> str | None:
    """The whole commit of the checkout that the code runs from; None where it is not known.

    An image holds no checkout: its build leaves the commit in CLARA_GIT_COMMIT.
    """
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=root, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("CLARA_GIT_COMMIT") or None
    return done.stdout.strip()


@cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
