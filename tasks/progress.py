"""Progress of anything that takes longer than a moment: a bar, or plain lines where no terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

log = logging.getLogger(__name__)

_LINE_EVERY_S = 10.0

Observer = Callable[[str, int, int], None]
_observer: ContextVar[Observer | None] = ContextVar("progress_observer", default=None)


@contextmanager
def watch_progress(observer: Observer) -> Iterator[None]:
    """Call `observer(description, done, total)` on any progress inside the block.

    It is called from wherever the work is done, an event loop included: it must return at once.
    """
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def tell_progress(description: str, done: int, total: int) -> None:
    """Tell the observer alone, if there is one, how far something has come."""
    observer = _observer.get()
    if observer is not None:
        observer(description, done, total)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """Show progress of `total` items; yields `advance(count=1, note="", left_s=None)`.

    On a terminal a bar with rate and remaining time; elsewhere a log line every ten seconds. The
    time left is estimated, unless who advances knows it better.
    """
    if sys.stderr.isatty():
        with _bar(description, total) as advance:
            yield _observed(advance, description, total)
    else:
        yield _observed(_lines(description, total), description, total)


def _observed(advance: Callable[..., None], description: str, total: int) -> Callable[..., None]:
    """`advance` that also tells who watches: whoever did when the progress began."""
    observer = _observer.get()
    if observer is None:
        return advance
    done = 0

    def both(count: int = 1, note: str = "", left_s: float | None = None) -> None:
        nonlocal done
        done += count
        advance(count, note, left_s)
        observer(f"{description}, {note}" if note else description, done, total)

    return both


@contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Left(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            left_s = task.fields["left_s"]
            if left_s is None:
                return super().render(task)
            return Text(_clock(left_s), "progress.remaining")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Left(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total, note="", left_s=None)

        def advance(count: int = 1, note: str = "", left_s: float | None = None) -> None:
            bar.update(task, advance=count, note=note, left_s=left_s)

        yield advance


def _lines(description: str, total: int) -> Callable[..., None]:
    started = last = time.monotonic()
    done = 0

    def advance(count: int = 1, note: str = "", left_s: float | None = None) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last < _LINE_EVERY_S:
            return
        last = now
        if left_s is None:
            left_s = (now - started) / max(done, 1) * max(total - done, 0)
        log.info("%s: %d/%d, %s left%s",
                 description, done, total, _clock(left_s), note and f", {note}")  # fmt: skip

    return advance


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
