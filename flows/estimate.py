"""`--estimate`: calls, tokens and cost by model as a table, or as JSON; nothing is sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from configs.base import EndpointSettings
from configs.load import load_config
from configs.schema import PipelineConfig
from tasks.llm.estimate import Line, count_images, estimate_captions, estimate_synthesis, find_texts
from tasks.llm.estimate_mining import (
    assume_questions,
    count_questions,
    estimate_duplicates,
    estimate_mining,
    estimate_remining,
    find_questions,
    own_judge,
)
from tasks.llm.spending import Spending
from tasks.manifests import is_current
from tasks.plan import build_plan, require_input
from tasks.travel.mirror import open_workspace
from tasks.workspace import Workspace

_READ = ("raw_knowledge.jsonl", "passages.jsonl", "synthesis.jsonl")


def show_estimate(
    steps: Sequence[str], config: Path, overrides: Sequence[str], *, as_json: bool
) -> None:
    """Print what some steps would ask of their endpoints.

    Args:
        steps: Of "caption", "synthesize", "mine" and "remine"; what is not planned is left out.
        config: Configuration file.
        overrides: Values of the configuration to replace.
        as_json: JSON on standard output in place of the table.
    """
    settings = load_config(config, overrides)
    workspace = open_workspace(settings, _READ)
    if not workspace.raw_knowledge.is_file():
        require_input(settings)
    plan = build_plan(settings, workspace)
    lines: list[Line] = []
    notes: list[str] = []
    for step in (step for step in steps if step in plan):
        if is_current(plan[step], workspace):
            notes.append(f"{step}: up to date, nothing is left to send")
            continue
        found, note = _estimate(step, settings, workspace)
        lines += found
        notes.append(note)
    known = sum(line.cost_usd or 0.0 for line in lines)
    unknown = sorted({line.model for line in lines if line.cost_usd is None})
    if as_json:
        record = {"lines": [asdict(line) for line in lines], "cost_usd": round(known, 4),
                  "unknown_prices": unknown, "notes": notes}  # fmt: skip
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    console = Console()
    if lines:
        console.print(_table(lines))
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    console.print(_total(known, unknown), highlight=False, soft_wrap=True)


def _estimate(step: str, settings: PipelineConfig, workspace: Workspace) -> tuple[list[Line], str]:
    if step == "caption":
        captioning = settings.captioning
        if not captioning.enabled:
            return [], "caption: captioning.enabled is false, nothing is sent"
        images, origin = count_images(settings, workspace)
        note = f"caption: {images:,} pictures, from {origin}"
        return estimate_captions(captioning, images), note + _spent(
            captioning, "captioning", workspace
        )
    source = find_texts(settings, workspace)
    if step == "synthesize":
        # How many questions there are is what this step will decide.
        repeats = estimate_duplicates(settings, assume_questions(source))
        note = f"synthesize: {source.number:,} passages, from {source.origin}"
        spent = _spent(settings.synthesis, "synthesis", workspace)
        return estimate_synthesis(settings, source) + repeats, note + spent
    questions = find_questions(settings, source, workspace)
    estimate = estimate_mining if step == "mine" else estimate_remining
    lines = estimate(settings, questions)
    if not lines:
        return [], f"{step}: no endpoint is asked, nothing is sent"
    number = round(count_questions(settings, questions))
    note = f"{step}: {number:,} questions, from {questions.origin}"
    judge = own_judge(settings)
    return lines, note + (_spent(judge, "negatives.judge", workspace) if judge else "")


def _spent(settings: EndpointSettings, section: str, workspace: Workspace) -> str:
    """What a section has cost already: its finished requests are not paid again."""
    spending = Spending(settings, section, workspace.cache / "spent")
    if not spending.total:
        return ""
    return f"; asked and kept already, of what is counted here: {spending.describe(spending.total)}"


def _table(lines: Sequence[Line]) -> Table:
    table = Table(box=box.SIMPLE, title="What would be sent")
    table.add_column("step")
    table.add_column("model")
    for name in ("calls", "tokens in", "tokens out", "US dollars"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(line.step, line.model, f"{line.calls:,}", f"{line.prompt_tokens:,}",
                      f"{line.completion_tokens:,}", _dollars(line.cost_usd))  # fmt: skip
    return table


def _dollars(cost: float | None) -> str:
    if cost is None:
        return "unknown"
    return "< 0.01" if 0 < cost < 0.01 else f"{cost:,.2f}"


def _total(known: float, unknown: Sequence[str]) -> str:
    words = f"About {_dollars(known)} US dollars"
    if unknown:
        words += (
            f", without {', '.join(unknown)}, whose price is not known: set `prices` of the "
            "section (US dollars per million tokens)"
        )
    return f"{words}. Replies and repeated rounds are assumed; `max_cost` is a sure limit."
