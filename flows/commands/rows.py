"""The commands around rows: validate, clean-refs, trace, card. Imports stay inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import DEFAULT, Config, Json, Set

rows = typer.Typer()

_PANEL = "Rows"


@rows.command(rich_help_panel=_PANEL)
def validate(
    path: Annotated[
        str,
        typer.Argument(
            metavar="FILE|WORKSPACE",
            help="Rows in JSONL, or a whole workspace: its folder, or a URI such as s3://bucket/mine.",
        ),
    ],
    stage: Annotated[
        str | None, typer.Option(help="stage1, stage2 or stage3; guessed from the rows if omitted.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Documents each stage-2 row must have.")] = None,
    train_rows: Annotated[
        Path | None, typer.Option("--train", help="Training rows to check for leaks against.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write a repaired copy; every change is listed.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where the copy goes; default: FILE with .fixed.jsonl.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings fail too; with --fix they are mended.")
    ] = False,
    json: Json = False,
) -> None:
    """Check rows: schema, documents, top-k, gold positions, duplicates, leaks.

    Exit code 1 if any fails; with --fix, if the copy still does. A workspace's benchmark is held
    against its training rows by itself.
    """
    from flows.row_tools import fix_rows, validate_rows

    do = fix_rows if fix else validate_rows
    options = {"stage": stage, "top_k": top_k, "train": train_rows, "strict": strict}
    raise typer.Exit(do(path, out=out, as_json=json, **options))  # type: ignore[arg-type]


@rows.command("clean-refs", rich_help_panel=_PANEL)
def clean_refs(
    file: Annotated[Path, typer.Argument(help="A JSONL file of legacy rows with image markers.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default: FILE with .clean.jsonl.")
    ] = None,
) -> None:
    """Remove image markers and image file names from legacy rows."""
    from flows.row_tools import clean_row_refs

    clean_row_refs(file, out)


@rows.command(rich_help_panel=_PANEL)
def trace(
    row_id: Annotated[str, typer.Argument(help="A row's id, or the beginning of it.")],
    config: Config = DEFAULT,
    overrides: Set = None,
    json: Json = False,
) -> None:
    """From a row back to passages, pages, pictures, prompt version, model, request and reply."""
    from flows.row_tools import show_trace

    show_trace(row_id, config, tuple(overrides or ()), as_json=json)


@rows.command(rich_help_panel=_PANEL)
def card(config: Config = DEFAULT, overrides: Set = None) -> None:
    """Rebuild the data card (HTML, Markdown, JSON) from what the workspace holds."""
    from flows.row_tools import rebuild_card

    rebuild_card(config, tuple(overrides or ()))
