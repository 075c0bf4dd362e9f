"""Running it for long: archives, services, versions, housekeeping."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import DEFAULT, Config, Json, Set

operations = typer.Typer()


class Score(StrEnum):
    """Scores that versions are compared by."""

    em = "em"
    f1 = "f1"
    containment = "containment"


@operations.command(rich_help_panel="Operations")
def package(
    config: Config = DEFAULT,
    overrides: Set = None,
    out: Annotated[Path, typer.Option(help="Archive to write: .tar.gz or .zip.")] = Path(
        "clara_data.tar.gz"
    ),
    max_base_mb: Annotated[
        float, typer.Option(help="A base from the hub goes along up to this size.")
    ] = 500.0,
    json: Json = False,
) -> None:
    """Archive rows, tokenizer, base and configuration, to train elsewhere (`clara unpack`)."""
    from flows.package import package as write_package

    write_package(config, tuple(overrides or ()), out=out, max_base_mb=max_base_mb, as_json=json)


@operations.command(rich_help_panel="Operations")
def unpack(
    archive: Annotated[Path, typer.Argument(help="What `clara package` wrote.")],
    folder: Annotated[Path, typer.Argument(help="New folder; becomes a workspace.")],
    json: Json = False,
) -> None:
    """Check every file of an archive, and make it a workspace to train in."""
    from flows.package import unpack as unpack_package

    unpack_package(archive, folder, as_json=json)


@operations.command(rich_help_panel="Around")
def doctor(config: Config = DEFAULT, overrides: Set = None, json: Json = False) -> None:
    """What is here and works, what is missing, and how to mend it; asks endpoints for one token."""
    from flows.doctor import examine

    raise typer.Exit(examine(config, tuple(overrides or ()), as_json=json))


@operations.command(rich_help_panel="Operations")
def status(
    config: Config = DEFAULT,
    overrides: Set = None,
    send: Annotated[
        bool, typer.Option("--send", help="First send to MLflow what waits to be sent.")
    ] = False,
    json: Json = False,
) -> None:
    """What of a workspace is done, stale, running, interrupted or failed."""
    from flows.status import show_status

    raise typer.Exit(show_status(config, tuple(overrides or ()), send=send, as_json=json))


@operations.command(rich_help_panel="Operations")
def gc(
    config: Config = DEFAULT,
    overrides: Set = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
    replies: Annotated[
        bool, typer.Option("--replies", help="Also paid replies of endpoints, if all is done.")
    ] = False,
    json: Json = False,
) -> None:
    """List checkpoints and caches that no manifest needs; with --yes, remove them."""
    from flows.gc import collect

    collect(config, tuple(overrides or ()), yes=yes, replies=replies, as_json=json)


@operations.command(rich_help_panel="Operations")
def promote(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VERSION] [CONFIG]",
            help="Number of the version, default: the candidate; and the configuration file.",
        ),
    ] = None,
    overrides: Set = None,
    metric: Annotated[Score, typer.Option(help="What questions are scored by.")] = Score.f1,
    setting: Annotated[str, typer.Option(help="Which candidates they came with.")] = "normal",
    force: Annotated[bool, typer.Option("--force", help="Whatever the test says.")] = False,
    json: Json = False,
) -> None:
    """Make a version the champion, if the paired test on the benchmark shows it to be better."""
    from flows.promote import promote_version

    version = next((word for word in arguments or () if word.isdigit()), None)
    config = Path(next((word for word in arguments or () if not word.isdigit()), DEFAULT))
    code = promote_version(
        version, config, tuple(overrides or ()),
        metric=metric.value, setting=setting, force=force, as_json=json,
    )  # fmt: skip
    raise typer.Exit(code)


@operations.command(rich_help_panel="Operations")
def up(
    config: Config = DEFAULT,
    overrides: Set = None,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow page.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect page.")] = 4200,
    pools: Annotated[
        list[str] | None, typer.Option("--pool", help="Pool to work for; default: cpu and gpu.")
    ] = None,
) -> None:
    """Serve Prefect and MLflow on loopback, with deployments and a worker, until Ctrl-C."""
    from flows.up import serve_all

    serve_all(
        config, tuple(overrides or ()),
        mlflow_port=mlflow_port, prefect_port=prefect_port, pools=pools or ["cpu", "gpu"],
    )  # fmt: skip


@operations.command(rich_help_panel="Operations")
def deploy(json: Json = False) -> None:
    """Make work pools and deployments on the Prefect server that PREFECT_API_URL names.

    Done again, it brings them up to date; schedules that were switched on stay on.
    """
    from flows.deploy import deploy_all

    deploy_all(as_json=json)


@operations.command(rich_help_panel="Around")
def ui(
    config: Config = DEFAULT,
    overrides: Set = None,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow page.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect page.")] = 4200,
) -> None:
    """Serve the MLflow and Prefect pages on loopback until Ctrl-C."""
    from flows.up import serve_all

    serve_all(config, tuple(overrides or ()), mlflow_port=mlflow_port, prefect_port=prefect_port)
