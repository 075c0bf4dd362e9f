"""`clara package` and `clara unpack`: what training elsewhere needs, there and checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from configs.load import load_config
from tasks.packaging import CONFIG, package_workspace, unpack_archive
from tasks.travel.mirror import open_workspace

_MB = 1e6
_FETCHED = (
    "raw_knowledge.jsonl", "captions.jsonl", "passages.jsonl", "synthesis.jsonl",
    "pretrain_data.jsonl", "instruction_data.jsonl", "end_to_end_data.jsonl", "benchmark", "world",
    "models/tokenizer", "models/base",
)  # fmt: skip


def package(
    config: Path, overrides: Sequence[str], *, out: Path, max_base_mb: float, as_json: bool
) -> None:
    """Write the archive, and say what to do with it."""
    settings = load_config(config, overrides)
    workspace = open_workspace(settings, _FETCHED)
    counts = package_workspace(settings, workspace, out, max_base_mb=max_base_mb)
    if as_json:
        sys.stdout.write(json.dumps({"archive": str(out), **counts}) + "\n")
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"wrote {out}: {counts['files']} files, {counts['bytes'] / _MB:.1f} MB unpacked")
    console.print("On the other machine:")
    console.print(f"  clara unpack {out.name} DIR && clara train all DIR/{CONFIG}")


def unpack(archive: Path, folder: Path, *, as_json: bool) -> None:
    """Check and unpack an archive, and say what to do with it."""
    contents = unpack_archive(archive, folder)
    if as_json:
        report = {"folder": str(folder), "config": str(folder / CONFIG)}
        sys.stdout.write(json.dumps(report | {"files": len(contents.files)}) + "\n")
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{folder}: {len(contents.files)} files, each as it was packed; train with")
    console.print(f"  clara train all {folder / CONFIG}")
