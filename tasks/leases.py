"""Leases: a step is done by one worker at a time, wherever the workers are.

A lease is a small file with a number that its owner raises. Whoever waits watches that number, and
no two clocks are ever compared: an owner whose number stands still for long enough is taken for
dead. (A training process that outlives its launcher holds a lock of its own on its folder, see
`clara_model.training.process`: the lease is the launcher's, the lock is the process's.)
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from clara_model.errors import LaunchError
from tasks.storage import write_text

log = logging.getLogger(__name__)

EXPIRES_S = 60.0
_BEATS = 5  # heartbeats in the time after which an owner is taken for dead
_LOOKS = 12  # looks of a waiting worker in that time
_LONGEST_POLL_S = 5.0
_SETTLE_S = 1.0  # in which a competitor's write becomes visible
_REMIND_S = 300.0


class LeaseStore(Protocol):
    """Where lease files lie; names are those of steps."""

    is_atomic: bool  # whether of two that create the same file at once only one succeeds

    def create(self, name: str, text: str) -> bool:
        """Write a file that is not there yet; false if it is."""

    def read(self, name: str) -> str | None:
        """A file's text, or None."""

    def write(self, name: str, text: str) -> None:
        """Replace a file."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


class FolderLeases:
    """Leases in a folder, on this machine or shared by several."""

    is_atomic = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, name: str, text: str) -> bool:
        """Write a file that is not there yet; false if it is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.json"
        try:
            stream = path.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        try:
            with stream:
                stream.write(text)
        except OSError:  # a full disk: an empty lease would be waited for
            path.unlink(missing_ok=True)
            raise
        return True

    def read(self, name: str) -> str | None:
        """A file's text, or None."""
        try:
            path = self._folder / f"{name}.json"
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Replace a file."""
        write_text(self._folder / f"{name}.json", text)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)


@dataclass(frozen=True)
class Lease:
    """What a lease file says.

    Args:
        owner: Drawn anew for every lease.
        who: User and host, for people.
        pid: Of the owner.
        machine: Tells whether `pid` means anything here: host, boot and process namespace.
        started: When the process started, in the machine's own count; a pid may be used again.
        beat: Raised by the owner while it lives.
        since: For people.
    """

    owner: str
    who: str
    pid: int
    machine: str
    started: str
    beat: int
    since: str

    def to_text(self) -> str:
        """As it is written."""
        return json.dumps(asdict(self)) + "\n"


@dataclass
class Hold:
    """A lease that is held.

    Args:
        waited: Whether somebody else held it before.
        lost_to: Who took it over while this process stood still.
    """

    waited: bool = False
    lost_to: str = ""


@contextmanager
def hold_lease(step: str, store: LeaseStore, *, expires_s: float = EXPIRES_S) -> Iterator[Hold]:
    """Be the only one at a step; waits, and says for whom, while another one is.

    Args:
        step: Name of the step.
        store: Where leases lie.
        expires_s: An owner not heard of for so long is taken for dead. One that is known to have
            died on this machine is not waited for.

    Raises:
        LaunchError: If this process stood still for so long that another one took over.
    """
    mine = _new_lease()
    hold = Hold(waited=_acquire(step, store, mine, expires_s))
    ended = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()
    beating = threading.Thread(
        target=_beat, args=(step, store, mine, expires_s, hold, ended, is_main), daemon=True
    )
    beating.start()
    before = signal.getsignal(signal.SIGINT)
    if is_main and before is signal.SIG_IGN:
        # As a shell starts what runs in the background; losing the lease must stop that, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield hold
        require_held(step, hold)
    except KeyboardInterrupt:
        require_held(step, hold)
        raise
    finally:
        ended.set()
        beating.join()
        if is_main and before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)
        if not hold.lost_to:
            _release(step, store, mine)


def require_held(step: str, hold: Hold) -> None:
    """Refuse to go on with a step that has become another worker's.

    Raises:
        LaunchError: If it has.
    """
    if hold.lost_to:
        raise LaunchError(
            f"{step}: this process was not heard of for so long that {hold.lost_to} took over; "
            "nothing of it was written; started again, it waits and takes over the result"
        )


def describe_lease(text: str | None) -> str | None:
    """Who holds a lease and since when; None if the text is none."""
    lease = _parse(text)
    return None if lease is None else f"{lease.who} (process {lease.pid}, since {lease.since})"


def read_leases(store: LeaseStore, steps: Iterable[str]) -> dict[str, str]:
    """Those of some steps that somebody is at, and who; without owners that died on this machine.

    One that died elsewhere is told by a heartbeat that stands still, and so only by waiting.
    """
    found = {step: store.read(step) for step in steps}
    return {
        step: who
        for step, text in found.items()
        if (who := describe_lease(text)) and not _died_here(_parse(text))
    }


def _new_lease() -> Lease:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    who = f"{_user()}@{socket.gethostname()}"
    pid = os.getpid()
    return Lease(uuid.uuid4().hex, who, pid, _machine(), _started(pid) or "", 0, now)


def _acquire(step: str, store: LeaseStore, mine: Lease, expires_s: float) -> bool:
    """Returns whether another worker held it before, and let go of it."""
    standstill = Standstill(expires_s)
    poll = min(expires_s / _LOOKS, _LONGEST_POLL_S)
    takes_over, waited, told_at = False, False, -_REMIND_S
    while True:
        if store.create(step, mine.to_text()):
            if takes_over or not store.is_atomic:
                time.sleep(min(_SETTLE_S, poll))
                if not _is_owner(mine, store.read(step)):
                    continue
            return waited
        text = store.read(step)
        if _is_owner(mine, text):  # a repeated request, whose first answer was lost
            return waited
        if text is None:
            continue
        if standstill.has_lasted(text) or _died_here(_parse(text)):
            log.warning("%s: %s is gone; taking over", step, describe_lease(text) or "its worker")
            takes_over = True
            if store.read(step) == text:
                store.remove(step)
            continue
        waited = True
        if time.monotonic() - told_at >= _REMIND_S:
            told_at = time.monotonic()
            log.info("%s: waiting for %s", step, describe_lease(text) or "another worker")
        time.sleep(poll)


class Standstill:
    """Measures for how long a lease has not changed while this process looked at it."""

    def __init__(self, lasting_s: float) -> None:
        self._lasting_s = lasting_s
        self._text: str | None = None
        self._still_s = 0.0
        self._looked_at = time.monotonic()

    def has_lasted(self, text: str | None) -> bool:
        """Whether a lease, as it is now, has stood still for long enough; never if there is none.

        To be asked about twelve times in that time: of a longer pause only a part counts.
        """
        now = time.monotonic()
        # A watcher that was itself suspended has seen nothing in the meantime.
        passed = min(now - self._looked_at, 2 * self._lasting_s / _LOOKS)
        self._looked_at = now
        if text is None or text != self._text:
            self._text, self._still_s = text, 0.0
        else:
            self._still_s += passed
        return text is not None and self._still_s >= self._lasting_s


def _beat(
    step: str, store: LeaseStore, mine: Lease, expires_s: float, hold: Hold,
    ended: threading.Event, interrupts: bool,
) -> None:  # fmt: skip
    """Raise the number until the step has ended; notice if the lease is another's."""
    beat, has_warned = 0, False
    while not ended.wait(expires_s / _BEATS):
        beat += 1
        text = replace(mine, beat=beat).to_text()
        try:
            found = store.read(step)
            if _is_owner(mine, found):
                store.write(step, text)
                continue
            if found is None and store.create(step, text):
                continue
            found = store.read(step)
        except Exception as err:  # noqa: BLE001 - of any store; until it answers nothing is known
            if not has_warned:
                log.warning("%s: the lease cannot be renewed now: %s", step, err)
            has_warned = True
            continue
        hold.lost_to = describe_lease(found) or "another worker"
        log.error("%s: %s has taken over; stopping", step, hold.lost_to)
        if interrupts:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return


def _release(step: str, store: LeaseStore, mine: Lease) -> None:
    try:
        if _is_owner(mine, store.read(step)):
            store.remove(step)
    except Exception as err:  # noqa: BLE001 - of any store; it expires by itself
        log.warning("%s: the lease could not be given back, and will expire: %s", step, err)


def _is_owner(mine: Lease, text: str | None) -> bool:
    found = _parse(text)
    return found is not None and found.owner == mine.owner


def _parse(text: str | None) -> Lease | None:
    """None for what is no lease, such as a file that is being written."""
    try:
        return Lease(**json.loads(text or ""))
    except (json.JSONDecodeError, TypeError):
        return None


def _died_here(lease: Lease | None) -> bool:
    """Whether the owner was a process of this machine that is no more."""
    if lease is None or not lease.machine or lease.machine != _machine():
        return False
    return _started(lease.pid) != lease.started


def _machine() -> str:
    """This boot of this host, and its process namespace; empty where that cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None if it is gone."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = stat.rpartition(")")[2].split()
        if state not in "ZX":
            return fields[18]
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
