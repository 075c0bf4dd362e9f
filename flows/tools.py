"""Commands that are not flows: ask, report, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import Literal

from rich.console import Console
from rich.markup import escape

from configs.load import load_config
from tasks.travel.mirror import open_workspace


def ask_question(question: str, config: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print the answer to a question and the passages that it rests on."""
    settings = load_config(config, overrides)
    from clara_model.answering import answer
    from tasks.indexing.build import open_answering

    workspace = open_workspace(settings, ["models/base", "models/stage3", "memory"])
    # The memories of a remote workspace stay where they were made.
    complete = settings.remote is not None
    model, index = open_answering(workspace, settings.model, complete=complete)
    serving = settings.serving
    found = answer(
        question, model, index, top_n=serving.top_n, max_new_tokens=serving.max_new_tokens
    )
    citations = [asdict(citation) for citation in found.citations]
    if as_json:
        reply = {"question": question, "answer": found.text, "citations": citations}
        sys.stdout.write(json.dumps(reply, ensure_ascii=False) + "\n")
        return
    console = Console()
    console.print(f"[bold]{escape(found.text or '(no answer)')}[/]")
    for number, citation in enumerate(found.citations, start=1):
        page = f", page {citation.page}" if citation.page else ""
        place = escape(f"{citation.source}{page}")
        console.print(f"\n\\[{number}] {place}  (score {citation.score:.2f})", highlight=False)
        console.print(escape(indent(citation.text, "    ")), style="dim", highlight=False)
    if settings.model.base == "built-in":
        console.print(
            "\nThe built-in decoder reads the generated world, not free prose: set model.base to a "
            "real one for answers of use (docs/quickstart.md).",
            style="yellow",
        )


def export_stage(
    folder: Path,
    config: Path,
    overrides: Sequence[str],
    *,
    stage: str,
    layout: Literal["safetensors", "ml-clara", "auto-model"],
) -> None:
    """Write a trained stage to a folder that can be moved."""
    settings = load_config(config, overrides)
    from tasks.export import export_model

    workspace = open_workspace(settings, ["models/base", f"models/{stage}"])
    path = export_model(workspace, stage, folder, layout)
    console = Console()
    console.print(f"wrote {path}; load it with", highlight=False)
    console.print(f'  Clara.from_pretrained("{path}")', highlight=False)
    if layout == "auto-model":
        console.print("or, where this project is not installed,", highlight=False)
        call = f'transformers.AutoModel.from_pretrained("{path}", trust_remote_code=True)'
        console.print(f"  {call}", highlight=False, soft_wrap=True)
