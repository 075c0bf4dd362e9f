"""Checkpoints of a stage that is being trained: sent when complete, so that another worker goes on.

They are written on the local disk. The newest complete one is sent, its list of files last; older
ones are removed there once it has arrived. How long sending takes does not matter to which one is
next: the time between two is that between their own being written.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clara_model.errors import ClaraError
from clara_model.training.progress import STATE
from tasks.storage import hash_file
from tasks.travel.remote import Remote

log = logging.getLogger(__name__)

_FOLDER = "checkpoints"
_LIST = "FILES.json"
_POLL_S = 2.0
_EARLY = 0.9  # of the time between two


@contextmanager
def sending_checkpoints(remote: Remote, stage: str, work: Path, every_s: float) -> Iterator[None]:
    """While the block trains, send the newest complete checkpoint as soon as it is due.

    A checkpoint written when training is asked to stop is sent before the block is left.

    Args:
        remote: Where to.
        stage: Name of the stage.
        work: Folder of its checkpoints.
        every_s: One is due that was written so many seconds after the last one that was sent.
    """
    sender = _Sender(remote, stage, work, every_s)
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        sender.ended.set()
        thread.join()
        sender.send_newest()
        shutil.rmtree(sender.aside, ignore_errors=True)


def fetch_checkpoint(remote: Remote, stage: str, work: Path) -> str | None:
    """Bring the newest checkpoint of another worker here, if it is newer than all here.

    Returns:
        Its name, or None where there is none to bring.
    """
    found = _list_remote(remote, stage)
    newest = max(found, default=None)
    if newest is None or newest <= (_newest(work) or ""):
        return None
    files = found[newest]
    partial = work / f".{newest}"
    shutil.rmtree(partial, ignore_errors=True)
    for name, entry in files.items():
        remote.download(f"{_FOLDER}/{stage}/{newest}/{name}", partial / name, entry["sha256"])
    shutil.rmtree(work / newest, ignore_errors=True)
    os.replace(partial, work / newest)
    log.info("%s: continuing from %s of another worker", stage, newest)
    return newest


def remove_checkpoints(remote: Remote, stage: str) -> None:
    """Remove all of a stage that is trained."""
    remote.remove_folder(f"{_FOLDER}/{stage}")


class _Sender:
    """Sends checkpoints from a thread of its own, so that training does not wait."""

    def __init__(self, remote: Remote, stage: str, work: Path, every_s: float) -> None:
        self.ended = threading.Event()
        self.aside = work.parent / f".sending-{stage}"
        self._remote, self._stage, self._work, self._every_s = remote, stage, work, every_s
        self._sent = max(_list_remote(remote, stage), default="")
        self._written = -math.inf  # when the last one that was sent was complete

    def run(self) -> None:
        while not self.ended.wait(min(_POLL_S, self._every_s)):
            newest = _newest(self._work)
            written = None if newest is None else _written(self._work / newest)
            # A little is allowed for: a trainer that saves as often is now and then early.
            # A clock that was set back makes one due, too.
            if written is not None and abs(written - self._written) >= _EARLY * self._every_s:
                self.send_newest()

    def send_newest(self) -> None:
        """A failure is told and changes nothing: the next one is sent again."""
        try:
            newest = _newest(self._work)
            if newest is None or newest <= self._sent or not self._keep_aside(newest):
                return
            written = _written(self.aside)
            _send(self._remote, self._stage, newest, self.aside)
        except (ClaraError, OSError) as err:
            log.warning("%s: a checkpoint was not sent, training goes on: %s", self._stage, err)
            return
        self._sent = newest
        if written is not None:
            self._written = written

    def _keep_aside(self, name: str) -> bool:
        """Hard links, for training removes old checkpoints; false if it just did."""
        shutil.rmtree(self.aside, ignore_errors=True)
        try:
            shutil.copytree(self._work / name, self.aside, copy_function=_link)
        except (shutil.Error, FileNotFoundError):
            return False
        return (self.aside / STATE).is_file()


def _send(remote: Remote, stage: str, name: str, folder: Path) -> None:
    target = f"{_FOLDER}/{stage}/{name}"
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        entry: dict[str, Any] = {"size": path.stat().st_size, "sha256": hash_file(path)}
        label = path.relative_to(folder).as_posix()
        remote.upload(path, f"{target}/{label}", entry["sha256"])
        files[label] = entry
    remote.write(f"{target}/{_LIST}", json.dumps(files, indent=2).encode())
    log.info("%s: sent %s", stage, name)
    for file in remote.list_files(f"{_FOLDER}/{stage}"):
        if not file.startswith(f"{target}/"):
            remote.remove(file)


def _list_remote(remote: Remote, stage: str) -> dict[str, dict[str, Any]]:
    """Whole checkpoints by name, each with its files."""
    found = {}
    start = f"{_FOLDER}/{stage}/"
    for name in remote.list_files(f"{_FOLDER}/{stage}"):
        checkpoint, _, file = name.removeprefix(start).partition("/")
        content = remote.read(name) if file == _LIST else None
        if content is not None:
            found[checkpoint] = json.loads(content)
    return found


def _newest(work: Path) -> str | None:
    whole = [path.name for path in work.glob("step-*") if (path / STATE).is_file()]
    return max(whole, default=None)


def _written(checkpoint: Path) -> float | None:
    """When a checkpoint was complete, by the file that is written last; None if it is gone."""
    with suppress(FileNotFoundError):
        return (checkpoint / STATE).stat().st_mtime
    return None


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
