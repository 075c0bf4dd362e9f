"""`clara train --dry-run`: the plan of a stage as a table, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clara_model.errors import ConfigError
from configs.load import load_config
from tasks.training.machine import GPUS
from tasks.travel.mirror import open_workspace

if TYPE_CHECKING:
    from tasks.training.dry_run import StagePlan

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_ROWS = {
    "stage1": ["pretrain_data.jsonl"],
    "stage2": ["instruction_data.jsonl"],
    "stage3": ["end_to_end_data.jsonl", "end_to_end_memory.jsonl"],
}


def show_plans(
    stages: Sequence[str], config: Path, overrides: Sequence[str], *, gpu: str, as_json: bool
) -> None:
    """Print what training some stages would take; nothing is trained, and no model is downloaded.

    Of a remote workspace only rows, tokenizer and logs are fetched.

    Raises:
        ConfigError: If the configuration is wrong, or the GPU is not in the table.
    """
    settings = load_config(config, overrides)
    if gpu and gpu not in GPUS:
        raise ConfigError(f"--gpu {gpu}: not in the table; known are {', '.join(GPUS)}")
    from tasks.training.dry_run import plan_stages

    rows = [name for stage in stages for name in _ROWS[stage]]
    workspace = open_workspace(
        settings,
        [*rows, *(f"world/{name}" for name in rows), "models/tokenizer",
         *(f"logs/{stage}" for stage in stages)],
    )  # fmt: skip
    plans = plan_stages(settings, workspace, stages, gpu or None)
    if as_json:
        records = [plan.as_record() for plan in plans]
        sys.stdout.write(json.dumps({"stages": records}, ensure_ascii=False) + "\n")
        return
    console = Console()
    for plan in plans:
        console.print(_table(plan))
    total = [plan.seconds for plan in plans]
    if len(plans) > 1 and None not in total:
        console.print(f"All stages: {duration(sum(filter(None, total)))}", highlight=False)
    if gpu == "" and plans and plans[0].obstacles:
        console.print(f"Another device: --gpu with one of {', '.join(GPUS)}", highlight=False)


def duration(seconds: float) -> str:
    """A time in words that one can plan with."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * _MINUTE:
        return f"{seconds / _MINUTE:.0f} minutes"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.1f} hours"
    return f"{seconds / _DAY:.1f} days"


def _table(plan: StagePlan) -> Table:
    table = Table(title=f"Plan of {plan.stage}: {plan.base}", title_justify="left",
                  box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)  # fmt: skip
    table.add_column(no_wrap=True)
    table.add_column()
    for name, words in _lines(plan):
        table.add_row(name, escape(words))
    return table


def _lines(plan: StagePlan) -> list[tuple[str, str]]:
    rows = "not made yet" if plan.rows is None else f"{plan.rows:,}"
    steps = "unknown until the rows are made" if plan.steps is None else f"{plan.steps:,}"
    verdict = "fits" if plan.fits else "does not fit: " + "; ".join(plan.obstacles)
    lines = [
        ("rows", rows),
        ("steps", steps),
        (
            "global batch",
            f"{plan.batch_size} = micro-batch {plan.micro_batch_size} x accumulation "
            f"{plan.accumulation} x ranks {plan.ranks}",
        ),
        ("learning rate", plan.schedule),
        ("tokens", f"{plan.tokens_per_example:,.0f} an example, from {plan.tokens_from}"),
    ]
    if plan.parameters is None:
        lines.append(("size", "not known offline: give a folder, or fetch the model once"))
    else:
        share = 100 * sum(plan.trains.values()) / plan.parameters
        parts = ", ".join(f"{name} {count:,}" for name, count in plan.trains.items())
        lines += [
            ("decoder", f"{plan.parameters:,} numbers, from {plan.size_from}"),
            ("trains", f"{parts} ({share:.2g} %)"),
            ("memory a rank", _sum(plan.memory)),
            ("disk", f"{_sum(plan.disk)}; {_size(plan.disk_free)} free"),
        ]
    seconds = "" if plan.seconds is None else f"{duration(plan.seconds)}: "
    lines += [
        ("time", f"{seconds}{plan.seconds_from}"),
        ("device", f"{plan.device} with {_size(plan.memory_limit)}: {verdict}"),
    ]
    return lines


def _sum(parts: dict[str, int]) -> str:
    shown = ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size)
    return f"{_size(sum(parts.values()))} ({shown})"


def _size(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
