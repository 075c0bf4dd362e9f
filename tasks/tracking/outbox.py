"""A process's way to MLflow: records go to the spool at once, and from there in a thread."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from tasks.tracking.address import is_remote
from tasks.tracking.send import Ids, Sender
from tasks.tracking.spool import SpoolFile

log = logging.getLogger(__name__)

_AGAIN_S = 30.0  # a server that was down is left alone for so long
_LOCAL_S = 120.0  # patience with a database of ours, which is made at the first use
_EXIT_S = 5.0


class Outbox:
    """The spool file of this process, and the thread that sends what lies in the spool.

    Args:
        folder: The spool.
        uri: Where to.
        wait_s: The longest that `drain` waits for a server.
    """

    def __init__(self, folder: Path, uri: str, wait_s: float) -> None:
        self._folder = folder
        self._file = SpoolFile(folder)
        self._sender = Sender(folder, uri)
        self._wait_s = wait_s if is_remote(uri) else _LOCAL_S
        self._changed = threading.Condition()
        self._wanted = 1  # what earlier processes left is sent first
        self._tried = 0
        self._failed_at: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="mlflow-sender", daemon=True)
        self._thread.start()
        atexit.register(self._close)

    def add(self, **record: Any) -> None:
        """Put a record on disk; it is sent soon, or later, but once."""
        self._file.append(record)
        with self._changed:
            self._wanted += 1
            self._changed.notify_all()

    def ids(self, ref: str) -> Ids | None:
        """Where MLflow keeps a run, once it is known there."""
        return self._sender.ids.get(ref)

    @property
    def is_down(self) -> bool:
        """Whether the last try failed."""
        return self._failed_at is not None

    def drain(self) -> bool:
        """Wait until everything is sent, or the server does not answer; whether all is sent."""
        deadline = time.monotonic() + self._wait_s
        with self._changed:
            wanted = self._wanted
            self._changed.notify_all()
            while self._tried < wanted and not self._is_resting() and self._thread.is_alive():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._tried >= wanted and not self.is_down

    def _is_resting(self) -> bool:
        return self._failed_at is not None and time.monotonic() - self._failed_at < _AGAIN_S

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (self._tried >= self._wanted or self._is_resting()):
                    self._changed.wait(_AGAIN_S if self._is_resting() else None)
                if self._closed:
                    return
                wanted = self._wanted
            failure = self._sender.send_all()
            with self._changed:
                if failure is None:
                    self._tried, self._failed_at = wanted, None
                else:
                    if self._failed_at is None:
                        log.warning(
                            "MLflow does not take what is recorded (%s); nothing is lost: it lies "
                            "in %s and is sent by a later run, or by `clara status --send`",
                            failure, self._folder,
                        )  # fmt: skip
                    self._failed_at = time.monotonic()
                self._changed.notify_all()

    def _close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_EXIT_S)
        self._file.close()
        self._sender.tidy()


_open: dict[tuple[int, Path, str], Outbox] = {}
_opening = threading.Lock()


def open_outbox(folder: Path, uri: str, wait_s: float) -> Outbox:
    """The one outbox of this process for a spool and an address."""
    key = (os.getpid(), folder.resolve(), uri)
    with _opening:
        if key not in _open:
            _open[key] = Outbox(folder, uri, wait_s)
        return _open[key]
