"""A stage's processes: their environment, and their end with whoever started them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clara_model.training.process import GRACE_S, LIFELINE
from clara_model.training.spec import TrainSpec

log = logging.getLogger(__name__)


@contextmanager
def started_ranks(
    command: list[str], spec: TrainSpec, output: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """The processes, in a group of their own that does not outlive this block or this process."""
    # Nothing is ever written to the pipe. It closes with this process, and so ends the ranks.
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
        env=_environment(spec), start_new_session=True,
    )  # fmt: skip
    try:
        yield child
    finally:
        _end_group(child)
        if child.stdin is not None:
            child.stdin.close()


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Have the processes save and end; end them if they do not."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    log.info("stopping after the running step; again Ctrl-C stops at once")
    try:
        child.wait(GRACE_S + 1.0)
    except subprocess.TimeoutExpired:
        log.warning("the running step did not end in %.0f s; it will be repeated", GRACE_S)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _environment(spec: TrainSpec) -> dict[str, str]:
    project = str(Path(__file__).resolve().parents[2])
    paths = [project, os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        LIFELINE: "1",
        # How long torchrun leaves the others time to save, or to find that a rank is gone.
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(int(GRACE_S)),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if spec.threads:
        environment["OMP_NUM_THREADS"] = str(spec.threads)
    if spec.num_processes == 1:
        # Nobody else has to find the port: 0 lets the store take any, when it starts.
        environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
                        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}  # fmt: skip
    elif not spec.threads:
        share = max((os.cpu_count() or 1) // spec.ranks_per_node, 1)
        environment["OMP_NUM_THREADS"] = str(share)
    return environment
