"""Servers and workers as processes of ours: started, watched, and ended in the reverse order."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from clara_model.errors import LaunchError

_START_S = 180.0
_STOP_S = 60.0
_POLL_S = 0.5
_LAST_LINES = 15


@dataclass(frozen=True)
class Service:
    """A process that serves until it is told to end.

    Args:
        name: For messages, and of its log file.
        command: What is run.
        is_up: Whether it answers.
        environment: Set for it besides ours.
        orphans_s: What it has started and left behind has so long to end.
    """

    name: str
    command: Sequence[str]
    is_up: Callable[[], bool]
    environment: dict[str, str]
    orphans_s: float = 3.0


@dataclass(frozen=True)
class Running:
    """A service that was started."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path

    def failure(self) -> LaunchError:
        """That it has ended by itself, with its last words."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(lines[-_LAST_LINES:])
        return LaunchError(
            f"{self.service.name} ended by itself with exit code {self.process.poll()}; the whole "
            f"log: {self.log}\n{tail}"
        )


def start(service: Service, logs: Path) -> Running:
    """Start a service in a session of its own, so that Ctrl-C reaches only us."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{service.name.lower().replace(' ', '-')}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            list(service.command), env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    return Running(service, process, log)


def wait_until_up(running: Running) -> None:
    """Wait until a service answers.

    Raises:
        LaunchError: If it ends before, or does not answer in time.
    """
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise running.failure()
        if running.service.is_up():
            return
        time.sleep(_POLL_S)
    raise LaunchError(
        f"{running.service.name} did not answer within {_START_S:.0f} s; its log: {running.log}"
    )


def watch(services: Sequence[Running]) -> None:
    """Wait until a service ends by itself.

    Raises:
        LaunchError: With its name and last words, as soon as one does.
    """
    while True:
        for running in services:
            if running.process.poll() is not None:
                raise running.failure()
        time.sleep(_POLL_S)


def stop_all(
    services: Sequence[Running], say: Callable[[str], None], *, at_once: bool = False
) -> bool:
    """End services, the last one first; Ctrl-C meanwhile ends what is left at once.

    Returns:
        Whether they were given their time.
    """
    patience = 0.0 if at_once else _STOP_S
    for running in reversed(services):
        say(f"stopping {running.service.name}")
        family = _family(running.process.pid)  # orphans are not found any more afterwards
        try:
            _stop(running, family, patience)
        except KeyboardInterrupt:
            patience = 0.0
            _stop(running, family, patience)
    return patience > 0


def _stop(running: Running, family: Sequence[psutil.Process], patience_s: float) -> None:
    """Ask a process to end, then end it with all that it has started."""
    process = running.process
    if process.poll() is None and patience_s:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    if process.poll() is None:
        process.kill()
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate() if patience_s else member.kill()
    _, alive = psutil.wait_procs(family, timeout=min(patience_s, running.service.orphans_s))
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=1)
    process.wait()


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextlib.contextmanager
def end_on_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end the block as Ctrl-C does, also where a shell has the latter ignored.

    Processes that are started in the block do not inherit that it is ignored.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require_free(ports: dict[str, int]) -> None:
    """Refuse ports that something listens on.

    Args:
        ports: Port by the option that chooses it.

    Raises:
        LaunchError: Names the port and the option.
    """
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as err:
                raise LaunchError(
                    f"port {port} is taken ({err.strerror}): choose another by {option}, or end "
                    "what listens there"
                ) from err


def answers(address: str) -> bool:
    """Whether an HTTP address answers with success."""
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
