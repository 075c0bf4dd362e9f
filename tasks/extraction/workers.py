"""Persistent worker processes with a time and a memory limit for each file.

A thread cannot be stopped and a page can hang in native code, so every file is read in a process
that the parent watches and kills. Processes are kept, because importing Docling takes seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from clara_model.errors import LaunchError
from configs.schema import ExtractionSettings
from tasks.extraction.images import first_line
from tasks.extraction.process_figures import cap_memory, memory_mb, processor_s, waits_s
from tasks.extraction.read import Job, read_file, rejected
from tasks.storage import Record

log = logging.getLogger(__name__)

_START_LIMIT_S = 300.0
_POLL_S = 0.1
# A file is not to blame for a machine that is busy with other work: the limit does not count waits
# for a processor, up to so many times the limit by the clock.
_PATIENCE = 5.0
_FAT = 0.5  # share of the memory limit above which an idle worker makes room for a new one
# What takes seconds to import, by the names of the files that need it.
_PDF = frozenset({".pdf"})
_DOCLING = frozenset({".docx", ".pptx", ".xlsx", ".html", ".htm", ".xhtml"})


@dataclass
class _Worker:
    """A process, its pipe, and the job it works on since `started`.

    `cpu` and `waits` are what it had used of processors, and waited for them, by then.
    """

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    started: float
    cpu: float = 0.0
    waits: dict[str, float] | None = None
    ready: bool = False
    job: Job | None = field(default=None)


def read_files(
    jobs: Sequence[Job], root: Path, assets: Path, settings: ExtractionSettings, num_workers: int
) -> Iterator[tuple[Job, Record]]:
    """Read files in worker processes; yields each with its record as soon as it is done.

    A file that crashes its worker, or exceeds `timeout_s` or `memory_mb`, gets a record without a
    row whose reason says so; a new worker goes on with the next one.

    Raises:
        LaunchError: If worker processes do not come up at all.
    """
    # Large files first: a long one at the end would keep one worker busy while others idle.
    waiting = sorted(jobs, key=lambda job: job.size)
    workers: list[_Worker] = []
    failed_starts = 0
    try:
        while waiting or any(w.job for w in workers):
            busy = sum(w.job is not None for w in workers)
            while len(workers) < min(num_workers, len(waiting) + busy):
                workers.append(
                    _start(root, assets, settings, preload=_to_preload(waiting, settings))
                )
            wait([w.pipe for w in workers], timeout=_POLL_S)
            for worker in list(workers):
                done = _step(worker, settings)
                if done is not None and worker.job is not None:
                    yield worker.job, done
                    worker.job = None
                if not worker.process.is_alive() and worker.job is None:
                    workers.remove(worker)
                    failed_starts += not worker.ready
                    if failed_starts > 2:
                        raise LaunchError("worker processes of extraction die at their start")
                elif worker.ready and worker.job is None and waiting:
                    _send(worker, waiting.pop())
    finally:
        for worker in workers:
            _stop(worker)


def _to_preload(jobs: Sequence[Job], settings: ExtractionSettings) -> tuple[str, ...]:
    """Modules to import before the first file's clock runs."""
    suffixes = {job.path.suffix.lower() for job in jobs}
    modules = []
    if suffixes & _PDF:
        modules += ["tasks.extraction.pdf", "docling_parse.pdf_parser"]
    if suffixes & _DOCLING or (suffixes & _PDF and settings.mode == "layout"):
        modules.append("docling.document_converter")
    return tuple(modules)


def _start(
    root: Path, assets: Path, settings: ExtractionSettings, *, preload: tuple[str, ...]
) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, root, assets, settings, preload)
    process = context.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, time.monotonic())


def _send(worker: _Worker, job: Job) -> None:
    worker.job = job
    worker.started, worker.cpu = time.monotonic(), processor_s(worker.process.pid)
    worker.waits = waits_s(worker.process.pid)
    with contextlib.suppress(OSError):  # it has just died: the next look at it tells why
        worker.pipe.send(job)


def _step(worker: _Worker, settings: ExtractionSettings) -> Record | None:
    """Take what a worker has sent, or end it where it broke a limit; a record if a job ended."""
    try:
        if worker.pipe.poll():
            message = worker.pipe.recv()
            if worker.ready:
                if memory_mb(worker.process.pid) > _FAT * settings.memory_mb:
                    _stop(worker)  # what one file left behind must not count against the next
                return dict(message)
            worker.ready = True
            return None
    except (EOFError, OSError):
        worker.process.join(5)
    seconds = _seconds(worker)
    limit = settings.timeout_s if worker.ready else _START_LIMIT_S
    reason = ""
    if not worker.process.is_alive():
        reason = f"its reader crashed (exit code {worker.process.exitcode})"
    elif seconds > limit and (worker.job or not worker.ready):
        reason = f"took longer than extraction.timeout_s {limit:g}"
    elif worker.job and memory_mb(worker.process.pid) > settings.memory_mb:
        reason = _too_fat(settings)
    if not reason:
        return None
    _stop(worker)
    if worker.job is None:
        return None
    log.warning("%s: %s", worker.job.file_path, reason)
    return rejected(reason, limits=limits_of(settings))


def _seconds(worker: _Worker) -> float:
    """How long a worker has been at its job or its start, asleep or at work: see `_PATIENCE`."""
    wall = time.monotonic() - worker.started
    now = waits_s(worker.process.pid)
    if now is None:  # then sleep and a wait for a processor look the same
        counted = min(wall, processor_s(worker.process.pid) - worker.cpu)
    else:
        before = worker.waits or {}
        counted = wall - max((now[t] - before.get(t, 0.0) for t in now), default=0.0)
    return max(counted, wall / _PATIENCE)


def _too_fat(settings: ExtractionSettings) -> str:
    return f"took more memory than extraction.memory_mb {settings.memory_mb}"


def limits_of(settings: ExtractionSettings) -> list[float]:
    """The limits under which a file was set aside: with others it is tried again."""
    return [settings.timeout_s, settings.memory_mb]


def _stop(worker: _Worker) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        # What a library started for a file (an Office program, say) ends with the file.
        for child in psutil.Process(worker.process.pid).children(recursive=True):
            child.kill()
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _serve(
    pipe: Connection,
    root: Path,
    assets: Path,
    settings: ExtractionSettings,
    preload: tuple[str, ...],
) -> None:
    """Loop of a worker process: read one job after the other until the parent is gone."""
    if settings.mode == "layout":
        os.environ["HF_HUB_OFFLINE"] = "1"  # the models were loaded once: they are here
    for module in preload:
        importlib.import_module(module)
    if settings.mode == "layout" and "tasks.extraction.pdf" in preload:
        importlib.import_module("tasks.extraction.layout").load_models(settings)
    logging.getLogger("docling").setLevel(logging.ERROR)
    if settings.mode != "layout":  # a graphics card's driver maps far more than it uses
        cap_memory(settings.memory_mb)
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            record = read_file(job, root, assets, settings)
        except MemoryError:
            record = rejected(_too_fat(settings), limits=limits_of(settings))
        except Exception as err:
            # A fault of ours or of a library: the run goes on, the reason is reported.
            log.exception("%s", job.file_path)
            record = rejected(f"{type(err).__name__}: {first_line(err)}")
        pipe.send(record)
