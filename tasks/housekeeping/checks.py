"""Checks of what a configuration needs: servers, ports, models, and a workspace that is whole."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from clara_model.errors import ConfigError
from configs.schema import PipelineConfig
from tasks.housekeeping.findings import Finding
from tasks.housekeeping.logs import log_file
from tasks.housekeeping.step_state import read_step_state
from tasks.manifests import Manifest, hash_path, read_manifest
from tasks.plan import build_plan
from tasks.tracking.address import is_remote, require_listener, resolved_uri
from tasks.tracking.spool import count_refused, count_waiting
from tasks.workspace import Workspace

_MIN_FREE_GB = 5
_PORTS = (
    (4200, "Prefect", "/api/health", "--prefect-port"),
    (5000, "MLflow", "/health", "--mlflow-port"),
)


def check_servers(config: PipelineConfig, workspace: Workspace) -> list[Finding]:
    """MLflow, Prefect, and the ports that `clara up` would take."""
    return [_mlflow(config, workspace), _prefect(), *(_port(*port) for port in _PORTS)]


def check_disk(workspace: Workspace) -> Finding:
    """Room where the workspace is, or will be."""
    place = workspace.root.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    ok = free >= _MIN_FREE_GB
    return Finding(
        "free disk", "ok" if ok else "note", f"{free:.0f} GiB at {place}",
        "" if ok else f"{_MIN_FREE_GB} GiB are comfortable: `clara gc` lists what can go, or put "
        "`workspace` elsewhere",
    )  # fmt: skip


def check_models(config: PipelineConfig) -> list[Finding]:
    """The base decoder; encoders and Docling's layout models where they are asked for."""
    findings = [_base(config.model.base)]
    for key, name in _encoders(config):
        findings += [_package("sentence-transformers", key, "dense")]
        findings += [_model(f"encoder of {key}", name, key, "dense")]
    folder = config.extraction.artifacts_path
    if config.extraction.mode != "native" and folder is not None:
        ok = folder.is_dir() and any(folder.iterdir())
        findings.append(
            Finding(
                "Docling's models", "ok" if ok else "missing", str(folder),
                "" if ok else f"docling-tools models download layout tableformer -o {folder}",
            )
        )  # fmt: skip
    return findings


def check_extras(config: PipelineConfig) -> list[Finding]:
    """Packages of optional extras that settings ask for; none where none do."""
    runner = config.execution.task_runner
    wanted = []
    if config.model.quantization != "none":
        wanted.append(("bitsandbytes", "model.quantization", "quantization"))
    if runner in ("dask", "ray"):
        wanted.append((f"prefect-{runner}", "execution.task_runner", runner))
    return [_package(*package) for package in wanted]


def check_workspace(config: PipelineConfig, workspace: Workspace) -> list[Finding]:
    """Whether what manifests say is there, and is as it was written."""
    if not workspace.manifests.is_dir():
        return [Finding("workspace", "ok", f"{workspace.root}: nothing there yet")]
    findings, whole = [], 0
    for name, step in build_plan(config, workspace).items():
        path = workspace.manifests / f"{step.record}.json"
        manifest = read_manifest(workspace, step.record)
        if manifest is not None:
            faults = _faults(manifest, workspace)
            findings += faults
            whole += not faults
        elif path.is_file():
            findings.append(Finding(f"manifest of {name}", "note", f"{path} is damaged",
                                    "`clara run` does the step again"))  # fmt: skip
        state = read_step_state(workspace, name)
        if state is not None and state.state == "failed":
            findings.append(
                Finding(f"step {name}", "note", f"failed at {state.since}: {state.error}",
                        "mend what it says; `clara run` then continues")
            )  # fmt: skip
    findings += _spool(workspace)
    return [Finding("workspace", "ok", f"{workspace.root}: {whole} steps are whole"), *findings]


def _faults(manifest: Manifest, workspace: Workspace) -> list[Finding]:
    step, findings = manifest["step"], []
    for label, expected in manifest["outputs"].items():
        path = workspace.root / label
        found = hash_path(path, workspace)
        if found != expected:
            state = "is gone" if found == "absent" else "is not as the step left it"
            findings.append(
                Finding(f"result of {step}", "note", f"{path} {state}",
                        "bring the file back, or `clara run` makes it again")
            )  # fmt: skip
    return findings


def _spool(workspace: Workspace) -> list[Finding]:
    findings = []
    if waiting := count_waiting(workspace):
        findings.append(
            Finding("MLflow's spool", "note", f"{waiting} records wait to be sent",
                    "`clara status --send` sends them; so does the next run")
        )  # fmt: skip
    if refused := count_refused(workspace):
        findings.append(
            Finding(
                "refused by MLflow",
                "note",
                ", ".join(f"{k} ({n})" for k, n in refused.items()),
                f"{log_file(workspace)} says why; everything else has arrived",
            )
        )
    return findings


def _mlflow(config: PipelineConfig, workspace: Workspace) -> Finding:
    try:
        uri = resolved_uri(config, workspace)
    except ConfigError as err:
        return Finding("MLflow", "missing", "tracking.uri", str(err))
    if not is_remote(uri):
        return Finding("MLflow", "ok", "a database; no server is needed")
    try:
        require_listener(uri)
    except OSError as err:
        return Finding(
            "MLflow", "note", f"{config.tracking.uri} does not answer: {err}",
            "start it, or mend `tracking.uri`; runs go on, and send what they have later",
        )  # fmt: skip
    return Finding("MLflow", "ok", f"{config.tracking.uri} answers")


def _prefect() -> Finding:
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return Finding("Prefect", "ok", "in-process; `clara up` starts a server")
    if _answers(f"{address.rstrip('/')}/health"):
        return Finding("Prefect", "ok", f"{address} answers")
    return Finding(
        "Prefect", "missing", f"{address} does not answer",
        "start that server, or `unset PREFECT_API_URL`",
    )  # fmt: skip


def _port(port: int, name: str, health: str, option: str) -> Finding:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return Finding(f"port {port}", "ok", f"free for {name}")
    if _answers(f"http://127.0.0.1:{port}{health}"):
        return Finding(f"port {port}", "ok", f"{name} answers")
    return Finding(
        f"port {port}", "note", "something else listens there", f"clara up {option} {port + 1}"
    )


def _encoders(config: PipelineConfig) -> Iterator[tuple[str, str]]:
    """Text encoders that run here, by the setting that names them."""
    dense = config.negatives.dense.local_model
    if config.negatives.strategies.dense > 0 and dense is not None:
        yield "negatives.dense.local_model", dense
    kind, _, name = config.evaluation.retriever.partition(":")
    if kind == "dense":
        yield "evaluation.retriever", name


def _package(name: str, key: str, extra: str) -> Finding:
    if importlib.util.find_spec(name.replace("-", "_")) is not None:
        return Finding(name, "ok", "installed")
    return Finding(
        name, "missing", f"not installed; {key} needs it", f"pip install -e '.[{extra}]'"
    )


def _base(base: str) -> Finding:
    if base == "built-in":
        return Finding("base decoder", "ok", "built in")
    return _model("base decoder", base, "model.base", "train")


def _model(what: str, name: str, key: str, extra: str) -> Finding:
    """Whether a model is a folder here, or in the hub's local cache."""
    if (Path(name) / "config.json").is_file():
        return Finding(what, "ok", name)
    if Path(name).is_dir() or name.startswith((".", "/", "~")):
        return Finding(what, "missing", f"{name} holds no config.json",
                       f"set {key} to a model's folder, or to a name on the hub")  # fmt: skip
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return Finding(what, "missing", f"{name}: huggingface_hub is not installed",
                       f"pip install -e '.[{extra}]'")  # fmt: skip
    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return Finding(what, "ok", f"{name}, in the local cache")
    return Finding(
        what, "note", f"{name} is not in the local cache: it is downloaded when first used",
        f"without a network: `hf download {name}` elsewhere, and set {key} to the folder",
    )  # fmt: skip


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=3):
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False
