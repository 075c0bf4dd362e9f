"""What a training process owes its surroundings: to stop when asked, alone in its folder."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from clara_model.errors import ClaraError

log = logging.getLogger(__name__)

STOPPED = 75  # exit code: nothing is wrong, started again it continues (EX_TEMPFAIL)

# Set by whoever starts this process with a pipe as its standard input, which nothing is ever
# written to: it closes when the starter is gone, even after `kill -9`.
LIFELINE = "CLARA_LIFELINE"
# The longest that a process may go on after its starter: for the running step and a last save.
GRACE_S = 45.0
_LOCK_WAIT_S = GRACE_S + 15.0


class Stopped(Exception):
    """Training was asked to end before its last step, and did."""


class StopRequest:
    """SIGTERM or Ctrl-C: obeyed at once before the first step, later only noted."""

    def __init__(self) -> None:
        self.is_made = False
        self._waits = False

    def listen(self) -> None:
        """Receive signals from now on; only the main thread may ask for them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def leave_to_loop(self) -> None:
        """From now on the training loop looks at `is_made`, and ends after a save."""
        self._waits = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.is_made:
            return
        self.is_made = True
        if not self._waits:
            raise Stopped("before the first step")
        log.warning("%s: stopping after the running step", signal.Signals(number).name)


def end_with_starter() -> None:
    """Have this process asked to stop once its starter is gone, and ended if it does not."""
    if os.environ.get(LIFELINE):
        threading.Thread(target=_watch_lifeline, daemon=True).start()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; a process of an earlier try may still be saving.

    Raises:
        ClaraError: If another process keeps it.
    """
    path = folder / ".lock"
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + _LOCK_WAIT_S
    with path.open("a") as stream:
        while not _lock(stream.fileno()):
            if time.monotonic() > end:
                raise ClaraError(
                    f"{folder}: another process is training there; wait for it, or stop it"
                )
            time.sleep(0.1)
        yield


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as err:
        log.warning("this file system has no locks (%s): start one training at a time", err)
    return True


def _watch_lifeline() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
