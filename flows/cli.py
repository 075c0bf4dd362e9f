"""The command line: `clara run` for everything, one command a step, and tools around them.

Importing this file must stay cheap: Prefect, torch and the steps are imported by the commands.
"""

from __future__ import annotations

import errno
import signal
import sys
from enum import StrEnum
from types import FrameType
from typing import Annotated

import typer

from clara_model.errors import ClaraError
from flows.commands.model import model
from flows.commands.operations import operations
from flows.commands.rows import rows
from flows.commands.steps import steps

app = typer.Typer(
    help="Turn a folder of documents into a trained, evaluated and usable CLaRa model.\n\n"
    "`clara run` does everything; the other commands do one step each. Every command takes the "
    "configuration file as its last argument and any number of `--set section.key=value`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)


class LogFormat(StrEnum):
    """How logs are written to standard error."""

    text = "text"
    json = "json"


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(envvar="CLARA_LOG_FORMAT", help="Logs as lines to read, or as JSON."),
    ] = None,
) -> None:
    from flows.console import prepare_console

    prepare_console(debug=debug, log_format=log_format)


for part in (steps, model, rows, operations):
    app.add_typer(part)


def _end(number: int, _: FrameType | None) -> None:
    """An end like any other, not the system's at once: else Prefect's own server stayed behind."""
    message = "ended by SIGTERM; what is finished is kept: run the same command again to go on"
    typer.secho(message, err=True, fg=typer.colors.YELLOW)
    sys.exit(128 + number)


def main() -> None:
    """Entry point: user mistakes end in one line and an exit code (0 done, 1 failed, 2 usage)."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    if debug:
        # Accepted anywhere: people add it to the end of the command that failed.
        arguments = ["--debug", *(a for a in arguments if a != "--debug")]
    signal.signal(signal.SIGTERM, _end)
    try:
        app(args=arguments, prog_name="clara")
    except ClaraError as err:
        if debug:
            raise
        from tasks.housekeeping.redact import redact

        typer.secho(f"error: {redact(str(err))}", err=True, fg=typer.colors.RED)
        sys.exit(err.exit_code)
    except OSError as err:
        if debug or err.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        typer.secho(
            f"error: the disk is full ({err}); make room and run the same command again: what is "
            "finished is kept",
            err=True, fg=typer.colors.RED,
        )  # fmt: skip
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("stopped; the same command continues where this one was", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
