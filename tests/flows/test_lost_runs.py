"""A run whose machine died ends the pipeline that waits for it; a living one does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Completed, Running
from prefect.testing.utilities import prefect_test_harness

from configs.schema import PipelineConfig
from flows.dispatch import _describe, _wait
from flows.parts import Part
from tasks.leases import FolderLeases, hold_lease

pytestmark = pytest.mark.slow  # its own Prefect server
STAGE = Part("train-stage2", ("stage2",))
GONE = (
    '{"owner": "ab12", "who": "eve@colab", "pid": 7, "machine": "colab boot ns", "started": "1", '
    '"beat": 41, "since": "2026-01-01T00:00:00+00:00"}\n'
)


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """A Prefect server of these tests alone."""
    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture
def settings(tmp_path: Path) -> PipelineConfig:
    # A lease is missed after five times 0.3 s.
    return PipelineConfig.model_validate(
        {"workspace": str(tmp_path), "execution": {"lease_s": 0.3, "poll_s": 0.1}}
    )


@flow(name="train-stage2")
def stage(config: str, downstream: bool = False) -> None:
    """Never called: only its runs are made."""


def running() -> FlowRun:
    parameters = {"config": "c.yaml", "downstream": False}
    with get_client(sync_client=True) as client:
        return client.create_flow_run(stage, parameters=parameters, state=Running())


def after(seconds: float, act: object) -> None:
    threading.Timer(seconds, act).start()  # type: ignore[arg-type]


def test_a_run_whose_lease_stands_still_has_crashed_and_the_command_that_goes_on_is_said(
    settings: PipelineConfig,
) -> None:
    run = running()
    leases = FolderLeases(settings.workspace / "leases")
    after(0.2, lambda: leases.create("stage2", GONE))  # by the run, before its machine dies
    begun = time.monotonic()
    ended = _wait(STAGE, run, settings)
    assert time.monotonic() - begun >= 1.5
    assert ended.state is not None
    assert ended.state.type == StateType.CRASHED
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(run.id).state_type == StateType.CRASHED
    said = _describe(STAGE, ended)
    assert "eve@colab" in said
    assert "clara train stage2 c.yaml" in said


@pytest.mark.parametrize("left", [True, False], ids=["left by an earlier machine", "beats"])
def test_a_run_is_waited_for_while_its_lease_moves_or_is_not_its_own(
    settings: PipelineConfig, left: bool
) -> None:
    run = running()
    leases = FolderLeases(settings.workspace / "leases")

    def complete() -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Completed())

    def work() -> None:
        with hold_lease("stage2", leases, expires_s=0.3):
            time.sleep(3.0)
        complete()

    if left:
        leases.create("stage2", GONE)
        after(3.0, complete)
    else:
        after(0.1, work)
    ended = _wait(STAGE, run, settings)
    assert ended.state is not None
    assert ended.state.type == StateType.COMPLETED
