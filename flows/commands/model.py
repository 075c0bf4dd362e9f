"""Using a trained model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import DEFAULT, Config, Json, Set

model = typer.Typer()


class Trained(StrEnum):
    """Models that can be exported."""

    stage1 = "stage1"
    stage2 = "stage2"
    stage3 = "stage3"


class Layout(StrEnum):
    """Checkpoint layouts that `clara export` writes."""

    safetensors = "safetensors"
    ml_clara = "ml-clara"
    auto_model = "auto-model"


@model.command(rich_help_panel="Using the model")
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    config: Config = DEFAULT,
    overrides: Set = None,
    json: Json = False,
) -> None:
    """Answer a question from the indexed passages, with citations."""
    from flows.tools import ask_question

    ask_question(question, config, tuple(overrides or ()), as_json=json)


@model.command("inspect", rich_help_panel="Using the model")
def inspect_model(
    question: Annotated[str, typer.Option(help="The question.")],
    config: Config = DEFAULT,
    overrides: Set = None,
    model: Annotated[
        str, typer.Option(help="stage1, stage2 or stage3 of the workspace, or a checkpoint folder.")
    ] = "stage3",
    documents: Annotated[
        list[Path] | None,
        typer.Option(help="Candidates: a folder or file (.md, .txt, .jsonl); may be repeated."),
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Another model, whose map stands beside, say without MSE.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default: in the workspace.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Tokens shown of each memory slot.")] = 5,
    json: Json = False,
) -> None:
    """Look inside a model: what memories say, scores of candidates, a map; written as a page."""
    from flows.inspection import inspect_question

    inspect_question(
        question, config, tuple(overrides or ()), model=model, documents=documents or (),
        compare=compare, out=out, top_tokens=top, as_json=json,
    )  # fmt: skip


@model.command(rich_help_panel="Using the model")
def report(
    config: Config = DEFAULT,
    overrides: Set = None,
    name: Annotated[str | None, typer.Option(help="Of a named evaluation.")] = None,
) -> None:
    """Score stored predictions again and rebuild the report page, without a model."""
    from flows.evaluation_commands import rebuild_report

    rebuild_report(config, tuple(overrides or ()), name=name)


@model.command(rich_help_panel="Using the model")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write; must not exist.")],
    config: Config = DEFAULT,
    overrides: Set = None,
    model: Annotated[Trained, typer.Option(help="Which stage's model.")] = Trained.stage3,
    layout: Annotated[Layout, typer.Option(help="Checkpoint layout.")] = Layout.safetensors,
) -> None:
    """Write a trained model to a folder: our layout, the authors', or one that AutoModel loads."""
    from flows.tools import export_stage

    export_stage(folder, config, tuple(overrides or ()), stage=model.value, layout=layout.value)
