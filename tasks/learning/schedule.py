"""Doing the jobs: a few at a time, the longest chain first, nothing twice."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from clara_model.errors import ConfigError, LaunchError
from clara_model.training.process import GRACE_S, LIFELINE
from tasks.learning.job import ERROR, RESULT
from tasks.learning.plan import Job
from tasks.progress import tell_progress
from tasks.storage import Record, write_json

log = logging.getLogger(__name__)

_POLL_S = 0.2
_LAST_LINES = 12


@dataclass
class Outcome:
    """What became of the jobs, by name."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise where a job failed.

        Raises:
            LaunchError: Names every failed job with its last lines, and what was skipped for it.
        """
        if not self.failed:
            return
        parts = [f"{name} failed:\n{words}" for name, words in self.failed.items()]
        if self.skipped:
            parts.append(f"not done, as they need it: {', '.join(self.skipped)}")
        parts.append("what is done is kept; the same command continues")
        raise LaunchError("\n".join(parts))


def choose_jobs(jobs: Iterable[Job], pattern: str | None) -> list[Job]:
    """The jobs whose name fits the pattern, and all that they need.

    Raises:
        ConfigError: If none fits.
    """
    jobs = list(jobs)
    if pattern is None:
        return jobs
    wanted = {job.name for job in jobs if fnmatch(job.name, pattern)}
    if not wanted:
        names = ", ".join(job.name for job in jobs)
        raise ConfigError(f"--only {pattern}: no such job; there are: {names}")
    # Needs stand before those that need them.
    for job in reversed(jobs):
        if job.name in wanted:
            wanted |= set(job.needs.values())
    return [job for job in jobs if job.name in wanted]


def run_jobs(jobs: Sequence[Job], root: Path, *, workers: int, threads: int) -> Outcome:
    """Do every job that has no result yet; a failed one holds up only those that need it.

    Args:
        jobs: Needs before those that need them.
        root: Folder of the workspace.
        workers: Processes at a time.
        threads: CPU threads of each.
    """
    outcome = Outcome([job.name for job in jobs if read_result(root, job) is not None])
    pending = {job.name: job for job in jobs if job.name not in outcome.done}
    rank = _chain_costs(jobs)
    running: dict[str, subprocess.Popen[bytes]] = {}
    started: dict[str, float] = {}
    log.info("%d jobs, %d of them done already", len(jobs), len(outcome.done))
    tell_progress("jobs", len(outcome.done), len(jobs))
    try:
        while pending or running:
            _skip_hopeless(pending, outcome)
            ready = [
                job for job in pending.values() if set(job.needs.values()) <= set(outcome.done)
            ]
            for job in sorted(ready, key=lambda job: -rank[job.name])[: workers - len(running)]:
                del pending[job.name]
                log.info("%s: started", job.name)
                running[job.name] = _start(job, root, threads)
                started[job.name] = time.monotonic()
            time.sleep(_POLL_S)
            for job in jobs:
                child = running.get(job.name)
                if child is not None and child.poll() is not None:
                    _end(running.pop(job.name))
                    _note(job, root, child.returncode, outcome)
                    log.info("[%d/%d] %s: %s in %.0f s", len(outcome.done), len(jobs), job.name,
                             "FAILED" if job.name in outcome.failed else "done",
                             time.monotonic() - started[job.name])  # fmt: skip
                    tell_progress(f"jobs, last {job.name}", len(outcome.done), len(jobs))
    finally:
        _stop(running)
    return outcome


def read_result(root: Path, job: Job) -> Record | None:
    """The result of a job that was done with the same settings, else None."""
    try:
        result = json.loads((root / job.name / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return result if isinstance(result, dict) and result.get("key") == job.key else None


def _chain_costs(jobs: Sequence[Job]) -> dict[str, float]:
    """Each job's cost with that of the longest chain of jobs behind it."""
    behind = {job.name: 0.0 for job in jobs}
    total = {}
    for job in reversed(jobs):
        total[job.name] = job.cost + behind[job.name]
        for need in job.needs.values():
            behind[need] = max(behind[need], total[job.name])
    return total


def _skip_hopeless(pending: dict[str, Job], outcome: Outcome) -> None:
    lost = {*outcome.failed, *outcome.skipped}
    for job in list(pending.values()):
        if lost & set(job.needs.values()):
            del pending[job.name]
            outcome.skipped.append(job.name)
            lost.add(job.name)


def _start(job: Job, root: Path, threads: int) -> subprocess.Popen[bytes]:
    folder = (root / job.name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in (RESULT, ERROR):
        (folder / name).unlink(missing_ok=True)
    needs = {part: str((root / name).resolve()) for part, name in job.needs.items()}
    value = {"name": job.name, "kind": job.kind, "key": job.key, "settings": job.settings,
             "needs": needs, "threads": threads}  # fmt: skip
    write_json(folder / "JOB.json", value)
    with (folder / "job.log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks.learning.job", str(folder / "JOB.json")],
            # Never written to: it closes with this process, and so ends the job.
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
            env=_environment(threads, job.settings["device"]), start_new_session=True,
        )  # fmt: skip


def _environment(threads: int, device: str) -> dict[str, str]:
    project = str(Path(__file__).resolve().parents[2])
    paths = [project, os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        LIFELINE: "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        # Threads that spin while they wait cost the other jobs several times their own work.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    return environment


def _note(job: Job, root: Path, code: int, outcome: Outcome) -> None:
    if code == 0 and read_result(root, job) is not None:
        outcome.done.append(job.name)
        return
    folder = root / job.name
    error = folder / ERROR
    source = error if error.is_file() else folder / "job.log"
    lines = source.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    words = "\n".join(f"  {line}" for line in lines)
    outcome.failed[job.name] = f"{words}\n  (exit code {code}; the whole log: {folder / 'job.log'})"


def _stop(running: dict[str, subprocess.Popen[bytes]]) -> None:
    """Have what still runs save and end."""
    for child in running.values():
        child.terminate()
    end = time.monotonic() + GRACE_S + 5
    for child in running.values():
        try:
            child.wait(max(end - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()
