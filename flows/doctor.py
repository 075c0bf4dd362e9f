"""`clara doctor`: what this machine can do, what is missing, and the command that gets it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clara_model.hardware import describe_accelerator

_CORE = ("prefect", "mlflow", "docling-slim", "rapidocr", "openai", "pandas", "pillow", "bm25s")
_TRAIN = ("torch", "transformers", "peft", "deepspeed", "safetensors")
_MIN_FREE_GB = 5
_MIN_MEMORY_GB = 6
_FASTAPI = SpecifierSet(">=0.139,<0.151")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its state, and the remedy where something is missing."""

    what: str
    state: Literal["ok", "note", "missing"]
    detail: str
    remedy: str = ""


def examine(*, as_json: bool) -> int:
    """Print all findings; returns 1 if something that `clara run` needs is missing, else 0."""
    findings = [_python(), *_packages(), _fastapi(), _accelerator(), _cores(), _disk(), _layout()]
    failed = any(finding.state == "missing" for finding in findings)
    if as_json:
        sys.stdout.write(json.dumps([asdict(f) for f in findings]) + "\n")
        return int(failed)
    table = Table(title="What this machine can do", title_justify="left")
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
        return Finding("accelerator", "note", "torch is not installed")
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


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    ok = free >= _MIN_FREE_GB
    return Finding(
        "free disk here", "ok" if ok else "note", f"{free:.0f} GiB",
        "" if ok else f"{_MIN_FREE_GB} GiB are comfortable; see `workspace` in the configuration",
    )  # fmt: skip


def _layout() -> Finding:
    if importlib.util.find_spec("docling_ibm_models") is None:
        return Finding(
            "Docling layout models", "note", "not installed; the native text layer is used",
            "optional: pip install -e '.[layout]'",
        )  # fmt: skip
    return Finding("Docling layout models", "ok", "installed")
