"""Which rank of a training run failed first, and its last lines."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from clara_model.training.spec import TrainSpec

_LINES = 15
# What torchrun logs as soon as a rank has ended badly, and at the end of all. It looks ten times a
# second: a killed rank and one that misses it can be seen at once, and in either order.
_FIRST = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)")
_EACH = re.compile(r"^ *rank +: (\d+) .*\n *exitcode +: (-9) ", re.MULTILINE)
_TORCHRUN = "torch/distributed/elastic/"  # in every line that it logs
_OWN_KILL = "forcefully exiting via"  # torchrun's, of ranks that do not end by themselves


def describe_failure(spec: TrainSpec, exit_code: int, log_lines: Sequence[str]) -> str:
    """What to show of a failed run.

    Args:
        spec: The run.
        exit_code: Of the one rank, or of torchrun; negative for a signal.
        log_lines: What the processes wrote.

    Returns:
        The error that the first failing rank left; else which signal ended it, and the log's last
        lines up to there.
    """
    rank, code = 0, exit_code
    own = (number for number, line in enumerate(log_lines) if _TORCHRUN in line)
    end = next(own, len(log_lines))
    text = "\n".join(log_lines[end:])
    if first := _FIRST.search(text):
        code, rank = int(first[1]), int(first[2])
    if code >= 0 and _OWN_KILL not in text and (killed := _EACH.search(text)):
        rank, code = int(killed[1]), int(killed[2])
    if code < 0:
        tail = [line for line in log_lines[:end] if line.strip()][-_LINES:]
        return "\n".join([f"rank {rank} was ended by {_name(-code)}", *tail])
    paths = [spec.error_path(rank), *map(spec.error_path, range(spec.num_processes))]
    path = next((path for path in paths if path.is_file()), None)
    lines = path.read_text(encoding="utf-8").splitlines() if path else log_lines
    return "\n".join(lines[-_LINES:])


def _name(number: int) -> str:
    if number == signal.SIGKILL:
        return "SIGKILL (the system does that when memory runs out)"
    return signal.Signals(number).name
