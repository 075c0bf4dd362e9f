"""Progress of anything that takes longer than a moment: a bar, or plain lines where no terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

_LINE_EVERY_S = 10.0


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """Show progress of `total` items; yields `advance(count=1, note="")`.

    On a terminal a bar with rate and remaining time; elsewhere a log line every ten seconds.
    """
    if sys.stderr.isatty():
        with _bar(description, total) as advance:
            yield advance
    else:
        yield _lines(description, total)


@contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(count: int = 1, note: str = "") -> None:
            bar.update(task, advance=count, note=note)

        yield advance


def _lines(description: str, total: int) -> Callable[..., None]:
    started = last = time.monotonic()
    done = 0

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last < _LINE_EVERY_S:
            return
        last = now
        left = (now - started) / max(done, 1) * max(total - done, 0)
        log.info("%s: %d/%d, %.0f s left %s", description, done, total, left, note)

    return advance
