"""`clara doctor`: what is here and works, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clara_model.errors import ClaraError, ConfigError
from clara_model.hardware import describe_accelerator
from configs.load import load_config
from configs.schema import PipelineConfig
from tasks.housekeeping.checks import (
    check_disk,
    check_extras,
    check_models,
    check_servers,
    check_workspace,
)
from tasks.housekeeping.endpoints import check_endpoints
from tasks.housekeeping.findings import Finding
from tasks.housekeeping.redact import learn_secrets, redact
from tasks.travel.mirror import open_workspace
from tasks.workspace import Workspace

_CORE = ("prefect", "mlflow", "docling-slim", "rapidocr", "openai", "pandas", "pillow", "bm25s")
_TRAIN = ("torch", "transformers", "peft", "deepspeed", "safetensors")
_MIN_MEMORY_GB = 6
_FASTAPI = SpecifierSet(">=0.139,<0.151")


def examine(config: Path, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print all findings; returns 1 if something that `clara run` needs is missing, else 0.

    Endpoints that the configuration names are asked for one token each.
    """
    findings = [_python(), *_packages(), _fastapi(), _accelerator(), _cores(), _layout()]
    findings += _configured(config, overrides)
    failed = any(finding.state == "missing" for finding in findings)
    if as_json:
        sys.stdout.write(json.dumps([asdict(f) for f in findings]) + "\n")
        return int(failed)
    table = Table(title="What is here", title_justify="left")
    for column in ("what", "state", "detail", "remedy"):
        table.add_column(column, overflow="fold")
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    for f in findings:
        table.add_row(
            f.what, f"[{colours[f.state]}]{f.state}[/]", escape(f.detail), escape(f.remedy)
        )
    console = Console()
    console.print(table)
    console.print("Something is missing." if failed else "`clara run` can run here.")
    return int(failed)


def _configured(config: Path, overrides: Sequence[str]) -> list[Finding]:
    try:
        settings = load_config(config, overrides)
    except ConfigError as err:
        return [Finding("configuration", "missing", str(err), "mend the file; see README.md")]
    import tasks.llm.task  # noqa: F401 - says how Secret blocks are read

    learn_secrets(settings)
    workspace, unreachable = _open(settings)
    found = [
        *unreachable,
        check_disk(workspace),
        *check_servers(settings, workspace),
        *check_models(settings),
        *check_extras(settings),
        *check_endpoints(settings),
        *check_workspace(settings, workspace),
    ]
    return [replace(f, detail=redact(f.detail), remedy=redact(f.remedy)) for f in found]


def _open(settings: PipelineConfig) -> tuple[Workspace, list[Finding]]:
    """The workspace; of one on a store that cannot be reached, what lies of it here."""
    try:
        return open_workspace(settings), []
    except ClaraError as err:
        found = Finding("remote workspace", "missing", str(err), "see docs/workspaces.md")
        return Workspace(settings.workspace), [found]


def _python() -> Finding:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "Python", "ok" if ok else "missing", platform.python_version(),
        "" if ok else "use Python 3.11, 3.12 or 3.13",
    )  # fmt: skip


def _packages() -> list[Finding]:
    findings = []
    for names, extra in ((_CORE, "."), (_TRAIN, "'.[train]'")):
        for name in names:
            try:
                findings.append(Finding(name, "ok", importlib.metadata.version(name)))
            except importlib.metadata.PackageNotFoundError:
                findings.append(
                    Finding(name, "missing", "not installed", f"pip install -e {extra}")
                )
    return findings


def _fastapi() -> Finding:
    version = importlib.metadata.version("fastapi")
    ok = version in _FASTAPI
    return Finding(
        "fastapi", "ok" if ok else "missing", version,
        "" if ok else f"Prefect 3.8 fails with it: pip install 'fastapi{_FASTAPI}'",
    )  # fmt: skip


def _accelerator() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding(
            "accelerator", "note", "unknown: torch is not installed", "pip install -e '.[train]'"
        )
    gpu = describe_accelerator()
    if gpu is not None:
        return Finding("accelerator", "ok", gpu)
    return Finding(
        "accelerator", "note", "no CUDA GPU: training runs on the CPU",
        "fine for the quickstart; a 7B model needs a GPU",
    )  # fmt: skip


def _cores() -> Finding:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    ok = memory >= _MIN_MEMORY_GB
    return Finding(
        "cores and memory", "ok" if ok else "note", f"{os.cpu_count()} cores, {memory:.0f} GiB",
        "" if ok else f"extraction with OCR wants {_MIN_MEMORY_GB} GiB",
    )  # fmt: skip


def _layout() -> Finding:
    if importlib.util.find_spec("docling_ibm_models") is None:
        return Finding(
            "Docling layout models", "note", "not installed; the native text layer is used",
            "optional: pip install -e '.[layout]'",
        )  # fmt: skip
    return Finding("Docling layout models", "ok", "installed")
