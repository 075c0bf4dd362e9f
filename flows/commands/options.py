"""What many commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="Configuration file.", show_default=True)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the configuration."),
]
Force = Annotated[bool, typer.Option("--force", help="Run even if nothing has changed.")]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Print calls, tokens and cost by model; send nothing.")
]
Downstream = Annotated[
    bool, typer.Option("--downstream", help="Then run what depends on it and is out of date.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on standard output.")]

DEFAULT = Path("configs/quickstart.yaml")
