"""What the system knows of a worker process: memory, processor time, waits; and a cap on memory."""

from __future__ import annotations

import sys
from pathlib import Path

# A process may map so many times its memory limit: mapped is not used, and libraries map freely.
_MAPPED = 2


def memory_mb(pid: int | None) -> float:
    """Resident memory of a process; zero if it has just ended."""
    import psutil

    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def processor_s(pid: int | None) -> float:
    """Processor time of a process so far; zero if it has just ended."""
    import psutil

    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system)


def waits_s(pid: int | None) -> dict[str, float] | None:
    """How long each thread was ready to run and had no processor; None where nobody counts that.

    Source:
        Linux, Documentation/scheduler/sched-stats.rst: the second figure of `schedstat`, in ns.
    """
    if not Path("/proc/self/schedstat").is_file():
        return None
    waits = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            waits[path.parent.name] = int(path.read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):  # the thread has just ended
            continue
    return waits


def cap_memory(limit_mb: int) -> None:
    """Let this process map no more than twice a limit beyond what it has: then `MemoryError`.

    For what comes faster than the parent looks. Only Linux counts this.
    """
    if sys.platform != "linux":
        return
    import resource

    import psutil

    cap = psutil.Process().memory_info().data + _MAPPED * limit_mb * 1_000_000
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        cap = min(cap, most)
    resource.setrlimit(resource.RLIMIT_DATA, (cap, most))
