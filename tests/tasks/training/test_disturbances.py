"""Whatever stops, kills or starves a training run, it continues as if nothing had been."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clara_model.errors import LaunchError
from clara_model.training.metrics import read_metrics
from clara_model.training.spec import TrainSpec
from configs.schema import PipelineConfig
from tasks.training.launch import build_spec, train_stage
from tasks.workspace import Workspace

pytestmark = pytest.mark.slow

MakeConfig = Callable[..., PipelineConfig]
ROOT = Path(__file__).resolve().parents[3]

# What a user's process does; it is killed from outside.
PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
from pathlib import Path
from configs.schema import PipelineConfig
from tasks.training.launch import train_stage
from tasks.workspace import Workspace
config = PipelineConfig.model_validate_json(Path(sys.argv[2]).read_text())
train_stage(config, Workspace(Path(sys.argv[1])), "stage1")
"""


def _weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def _start_parent(config: PipelineConfig, workspace: Workspace) -> subprocess.Popen[bytes]:
    path = workspace.root / "config.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(workspace.root), str(path)], cwd=ROOT
    )


def _descendants(pid: int) -> Iterator[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else ():
        yield int(child)
        yield from _descendants(int(child))


def _wait_for_step(path: Path, step: int, timeout_s: float = 600) -> None:
    end = time.monotonic() + timeout_s
    while len(read_metrics(path)) < step:
        assert time.monotonic() < end, f"{path} did not reach step {step}"
        time.sleep(0.01)


def _all_gone(pids: list[int], timeout_s: float = 20) -> bool:
    end = time.monotonic() + timeout_s
    while any(_is_running(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def _ranks(pid: int) -> list[int]:
    """Ranks below a process, by rank; torchrun is none."""
    found = {}
    for process in _descendants(pid):
        environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        command = Path(f"/proc/{process}/cmdline").read_bytes()
        rank = next((e for e in environment if e.startswith(b"RANK=")), None)
        if rank is not None and b"clara_model.training.worker" in command:
            found[int(rank.removeprefix(b"RANK="))] = process
    return [found[rank] for rank in sorted(found)]


def _kill_all(parent: subprocess.Popen[bytes]) -> None:
    for pid in [parent.pid, *_descendants(parent.pid)]:
        os.kill(pid, signal.SIGKILL)


def _kill_parent(parent: subprocess.Popen[bytes]) -> None:
    parent.kill()


def _kill_last_rank(parent: subprocess.Popen[bytes]) -> None:
    os.kill(_ranks(parent.pid)[-1], signal.SIGKILL)


def _terminate_parent(parent: subprocess.Popen[bytes]) -> None:
    parent.terminate()


def _interrupt_parent(parent: subprocess.Popen[bytes]) -> None:
    parent.send_signal(signal.SIGINT)


def _terminate_child(parent: subprocess.Popen[bytes]) -> None:
    """The only rank, or torchrun."""
    os.kill(next(_descendants(parent.pid)), signal.SIGTERM)


def _terminate_last_rank(parent: subprocess.Popen[bytes]) -> None:
    os.kill(_ranks(parent.pid)[-1], signal.SIGTERM)


# From the step at which it happens to whether a last checkpoint is saved.
DISTURBANCES = [
    (3, _kill_all, False),
    (12, _kill_last_rank, False),
    (20, _kill_parent, True),
    (28, _terminate_parent, True),
    (36, _interrupt_parent, True),
    (44, _terminate_child, True),
    (52, _terminate_last_rank, True),
]


def _newest(spec: TrainSpec) -> int:
    steps = [json.loads(path.read_text())["step"] for path in spec.work.glob("step-*/state.json")]
    return max(steps, default=0)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_disturbed_run_ends_like_an_undisturbed_one(
    workspace: Workspace, make_config: MakeConfig, ranks: int
) -> None:
    config = make_config(steps=100, num_processes=ranks)
    spec = build_spec(config, workspace, "stage1")
    train_stage(config, workspace, "stage1")
    expected = _weights(spec.output)
    spec.output.rename(workspace.models / "undisturbed")
    spec.metrics_path.unlink()
    for step, disturb, saves in DISTURBANCES:
        parent = _start_parent(config, workspace)
        _wait_for_step(spec.metrics_path, step)
        processes = [parent.pid, *_descendants(parent.pid)]
        disturb(parent)
        assert parent.wait(300) != 0
        assert _all_gone(processes, timeout_s=180)
        assert not spec.output.exists()
        if saves:
            assert _newest(spec) == len(read_metrics(spec.metrics_path)), disturb.__name__
    lines: list[dict] = []
    train_stage(config, workspace, "stage1", on_metrics=lines.extend)
    assert _weights(spec.output) == expected
    assert [line["step"] for line in lines] == list(range(1, 101))


def _disturb_own(act: Callable[[list[int]], None]) -> Callable[[list[dict]], None]:
    """Act on the ranks that this process has started, at their first metrics."""
    others = set(_ranks(os.getpid()))
    done = threading.Event()

    def on_metrics(lines: list[dict]) -> None:
        if not done.is_set():
            done.set()
            act([pid for pid in _ranks(os.getpid()) if pid not in others])

    return on_metrics


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_stage_asked_to_stop_says_where_it_continues(
    workspace: Workspace, make_config: MakeConfig, ranks: int
) -> None:
    def terminate(pids: list[int]) -> None:
        os.kill(pids[-1], signal.SIGTERM)

    config = make_config(steps=5000, num_processes=ranks)
    with pytest.raises(LaunchError) as caught:
        train_stage(config, workspace, "stage1", on_metrics=_disturb_own(terminate))
    said = re.search(r"asked to stop, and did after step (\d+) of 5000", str(caught.value))
    assert said
    assert int(said[1]) == _newest(build_spec(config, workspace, "stage1"))


@pytest.mark.parametrize("waits_s", [0.0, 2.0], ids=["at_once", "in_a_collective"])
def test_a_dead_rank_takes_the_other_down_within_a_minute(
    workspace: Workspace, make_config: MakeConfig, waits_s: float
) -> None:
    killed_at: list[float] = []
    processes: list[int] = []

    def kill(pids: list[int]) -> None:
        processes.extend(pids)
        if waits_s:
            # The other one waits for it in the middle of a step.
            os.kill(pids[1], signal.SIGSTOP)
            time.sleep(waits_s)
        os.kill(pids[1], signal.SIGKILL)
        killed_at.append(time.monotonic())

    config = make_config(steps=5000, num_processes=2)
    with pytest.raises(LaunchError) as caught:
        train_stage(config, workspace, "stage1", on_metrics=_disturb_own(kill))
    assert time.monotonic() - killed_at[0] < 60
    assert len(processes) == 2
    assert _all_gone(processes, timeout_s=0)
    message = str(caught.value)
    assert "rank 1 was ended by SIGKILL" in message
    log = build_spec(config, workspace, "stage1").log_path.read_text().splitlines()
    own = itertools.takewhile(lambda line: "torch/distributed/elastic/" not in line, log)
    last = [line for line in own if line.strip()][-1]
    assert last in message


def test_an_interrupted_stage_leaves_no_process(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    processes: list[int] = []

    def interrupt(pids: list[int]) -> None:
        processes.extend(pids)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stage(
            make_config(steps=5000), workspace, "stage1", on_metrics=_disturb_own(interrupt)
        )
    assert processes
    assert _all_gone(processes, timeout_s=0)


def test_another_number_of_ranks_continues_with_the_weights(
    workspace: Workspace, make_config: MakeConfig
) -> None:
    def terminate(pids: list[int]) -> None:
        os.kill(pids[0], signal.SIGTERM)

    for ranks, others in ((2, 1), (1, 2)):
        config = make_config(steps=60, num_processes=ranks)
        with pytest.raises(LaunchError, match="asked to stop"):
            train_stage(config, workspace, "stage1", on_metrics=_disturb_own(terminate))
        step = _newest(build_spec(config, workspace, "stage1"))
        lines: list[dict] = []
        config = make_config(steps=60, num_processes=others)
        train_stage(config, workspace, "stage1", on_metrics=lines.extend)
        assert [line["step"] for line in lines] == list(range(1, 61))
        log = build_spec(config, workspace, "stage1").log_path.read_text()
        assert (
            f"the weights of step {step} continue, the optimizer starts anew "
            f"(ranks: {ranks} -> {others})"
        ) in log
