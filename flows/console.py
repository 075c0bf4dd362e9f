"""Running flows from a terminal: quiet libraries, a plan before, tables after."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from clara_model.errors import LaunchError
from configs.load import load_config
from configs.secrets import load_environment
from flows.summary import as_json as summary_json
from flows.summary import print_plan, print_summary, print_sweep
from tasks.housekeeping.logs import FORMAT_VARIABLE, OUR_LOGGERS, make_formatter, mark_records
from tasks.housekeeping.redact import learn_secrets
from tasks.plan import SHARED_STEPS, build_plan, require_input
from tasks.travel.mirror import open_workspace

# What Prefect says, in plain RuntimeErrors, of a server that does not answer or was slow to start.
_UNREACHABLE = ("Failed to reach API", "connect to ephemeral Prefect API server")

# Read when the libraries are imported, so set before any of them is; a user's own value wins.
_ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # On a busy machine the in-process server needs longer than the 20 s it is given.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(OUR_LOGGERS),
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Bars of libraries inside our own; downloads from the hub keep theirs.
    "TQDM_DISABLE": "1",
}


def prepare_console(*, debug: bool, log_format: str | None = None) -> None:
    """Set up logging and the environment of the libraries that a command may import later.

    Args:
        debug: Show debug logs, and Prefect's.
        log_format: "text" or "json"; None: as CLARA_LOG_FORMAT says. Processes started later write
            theirs alike.
    """
    load_environment()
    if log_format is not None:
        os.environ[FORMAT_VARIABLE] = log_format
    learn_secrets({})
    mark_records()
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if not Path("/dev/nvidia0").exists():
        # DeepSpeed would look for every accelerator it knows, and warn about each.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if debug:
        os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "DEBUG"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter())
    for name in OUR_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.DEBUG if debug else logging.INFO)
        logger.propagate = False


def run_pipeline(config: Path, overrides: Sequence[str], *, force: bool, as_json: bool) -> None:
    """The whole pipeline from the terminal; without Prefect where nothing is left to do."""
    settings = load_config(config, overrides)
    require_input(settings)
    if settings.sweep is not None:
        _run_sweep(config, overrides, force=force, as_json=as_json)
        return
    workspace = open_workspace(settings)
    console = Console(stderr=as_json)
    pending = print_plan(console, build_plan(settings, workspace), workspace)
    if pending or force:
        call_flow("pipeline", config, overrides, force=force)
    else:
        console.print("Everything is up to date.")
    print_summary(console, settings, workspace)
    _print_next(console, config, overrides)
    if as_json:
        sys.stdout.write(summary_json(workspace) + "\n")


def _run_sweep(config: Path, overrides: Sequence[str], *, force: bool, as_json: bool) -> None:
    """A pipeline for every value of `sweep`, and one table at the end."""
    from tasks.evaluation.sweep import write_sweep
    from tasks.sweep import list_variants

    settings = load_config(config, overrides)
    workspace = open_workspace(settings)
    console = Console(stderr=as_json)
    variants = list_variants(settings, workspace)
    plan = build_plan(settings, workspace)
    shared = {name: step for name, step in plan.items() if name in SHARED_STEPS}
    pending = print_plan(console, shared, workspace)
    for variant in variants:
        changed = load_config(config, [*overrides, *variant.overrides])
        steps = build_plan(changed, variant.workspace)
        own = {name: step for name, step in steps.items() if name not in SHARED_STEPS}
        pending += print_plan(console, own, variant.workspace)
    if pending or force:
        call_flow("sweep", config, overrides, force=force)
    else:
        write_sweep(settings, workspace)  # other values may have been asked for before
        console.print("Everything is up to date.")
    print_sweep(console, workspace)
    if as_json:
        sweep = json.loads((workspace.root / "sweep.json").read_text(encoding="utf-8"))
        sys.stdout.write(json.dumps(sweep, ensure_ascii=False) + "\n")


def run_flow(
    name: str,
    config: Path,
    overrides: Sequence[str],
    *,
    force: bool,
    downstream: bool,
    as_json: bool,
) -> None:
    """One step's flow from the terminal, and the counts it left."""
    settings = load_config(config, overrides)
    workspace = open_workspace(settings)
    call_flow(name, config, overrides, force=force, downstream=downstream)
    print_summary(Console(stderr=as_json), settings, workspace)
    if as_json:
        sys.stdout.write(summary_json(workspace) + "\n")


def call_flow(name: str, config: Path, overrides: Sequence[str], **parameters: bool) -> None:
    """Import a flow and run it in this process.

    Raises:
        LaunchError: If the Prefect server does not answer, or no longer.
    """
    import httpx
    from prefect.settings import get_current_settings

    from flows.parts import load_flow

    try:
        load_flow(name)(str(config), list(overrides), **parameters)
    except (httpx.TransportError, RuntimeError) as err:
        if isinstance(err, RuntimeError) and not any(sign in str(err) for sign in _UNREACHABLE):
            raise
        raise LaunchError(
            f"the Prefect server {get_current_settings().api.url or 'of this process'} does not "
            f"answer ({type(err).__name__}: {err}). What is finished is kept: start the server "
            "again, or unset PREFECT_API_URL to do without, and run the same command again"
        ) from err


def _print_next(console: Console, config: Path, overrides: Sequence[str]) -> None:
    arguments = "".join(f" --set {override}" for override in overrides)
    if config != Path("configs/quickstart.yaml"):
        arguments += f" {config}"
    # Outside an activated environment the command has to be called by its place.
    clara = "clara" if shutil.which("clara") else sys.argv[0]
    console.print("\nTry next:")
    for command in ('ask "Who founded Tidewater Optics?"', "train stage3 --force", "ui"):
        console.print(f"  {clara} {command}{arguments}", highlight=False, soft_wrap=True)
