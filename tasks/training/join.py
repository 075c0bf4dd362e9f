"""Take part in trainings that another machine leads: `python -m tasks.training.join CONFIG`.

Needs the leading machine's workspace under the same path, and its configuration.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import time
from pathlib import Path

from clara_model.errors import ClaraError, ConfigError, LaunchError
from clara_model.training.spec import TrainSpec
from configs.load import load_config
from configs.schema import PipelineConfig
from tasks.training.launch import SPEC
from tasks.training.launchers import build_node_command
from tasks.training.processes import started_ranks
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

_POLL_S = 1.0


def join(config: PipelineConfig, workspace: Workspace, *, once: bool = False) -> None:
    """Start this machine's ranks whenever the leading one starts a stage.

    Args:
        config: As on the leading machine.
        workspace: The same folder.
        once: Return after one stage; otherwise go on until interrupted.

    Raises:
        ConfigError: If the configuration is of one machine, or of another launcher.
        LaunchError: If `once`, and this machine's ranks failed.
    """
    launcher = config.training.launcher
    if not launcher.needs_joiners:
        raise ConfigError(
            f"training.launcher is {launcher.kind} on {launcher.nodes} nodes: nothing to join; "
            "joining is for torchrun on several"
        )
    known: dict[Path, int] = {}
    log.info("waiting for a stage to start in %s", workspace.progress)
    while True:
        for path in sorted(workspace.progress.resolve().glob(f"*/{SPEC}")):
            written = _time_of(path)
            if written is None or known.get(path) == written:
                continue
            known[path] = written
            spec = TrainSpec.model_validate_json(path.read_text(encoding="utf-8"))
            code = _take_part(spec, build_node_command(spec, path, launcher, is_first=False))
            if once and code:
                raise LaunchError(f"{spec.stage}: exit code {code}; see {_log_path(spec)}")
            if once:
                return
        time.sleep(_POLL_S)


def _take_part(spec: TrainSpec, command: list[str]) -> int:
    log.info("%s: %d ranks here; log: %s", spec.stage, spec.ranks_per_node, _log_path(spec))
    with _log_path(spec).open("ab") as output, started_ranks(command, spec, output) as child:
        code = child.wait()
    if code:
        log.warning("%s: exit code %d; waiting for the next try", spec.stage, code)
    else:
        log.info("%s: done", spec.stage)
    return code


def _log_path(spec: TrainSpec) -> Path:
    return spec.logs / f"train-{socket.gethostname()}.log"


def _time_of(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # the stage has just ended
        return None


def main() -> int:
    """Join until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", default="configs/quickstart.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--once", action="store_true", help="end after one stage")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config = load_config(arguments.config, arguments.overrides)
        join(config, Workspace(config.workspace), once=arguments.once)
    except ClaraError as err:
        log.error("%s", err)
        return err.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
