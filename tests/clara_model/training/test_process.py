"""How a training process is stopped, and kept alone in its folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clara_model.errors import ClaraError
from clara_model.training import process
from clara_model.training.process import Stopped, StopRequest, alone_in


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    """Listening in this process, whose own handlers come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    request = StopRequest()
    request.listen()
    yield request
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_does_not_wait(stop: StopRequest, number: signal.Signals) -> None:
    with pytest.raises(Stopped):
        os.kill(os.getpid(), number)


def test_a_signal_is_noted_while_steps_run(stop: StopRequest) -> None:
    stop.leave_to_loop()
    assert not stop.is_made
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.is_made


def test_a_folder_is_one_processs_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LOCK_WAIT_S", 0.2)
    folder = tmp_path / "work"
    with alone_in(folder), pytest.raises(ClaraError, match="another process is training"):
        alone_in(folder).__enter__()
    with alone_in(folder):
        pass
