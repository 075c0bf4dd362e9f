"""A remote workspace is one pipeline run, from whichever machine it is worked on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks import tracking
from tasks.tracking import Tracker
from tasks.tracking.identity import take_identity
from tasks.travel.remote import Remote
from tasks.workspace import Workspace

Open = Callable[..., Tracker]


@pytest.fixture
def open_on(uri: str, tmp_path: Path) -> Open:
    """Open the run on a machine (a mirror) of its own; all record in one database."""

    def open_run(machine: str, **changes: object) -> Tracker:
        tree = {
            "workspace": str(tmp_path / machine), "remote": uri, **changes,
            "tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db", "system_metrics": False},
        }  # fmt: skip
        config = PipelineConfig.model_validate(tree)
        return tracking.open_pipeline_run(config, Workspace(config.workspace))

    return open_run


def test_two_machines_record_in_the_same_runs_by_the_workspaces_own_address(
    open_on: Open, uri: str, tmp_path: Path
) -> None:
    one, two = open_on("one"), open_on("two")
    assert one.pipeline_id == two.pipeline_id
    for tracker in (one, two):
        tracker.outbox.drain()
    for tracker in (one, two):
        with tracking.step_run(tracker, "stage1", "key") as ref:
            manifest = {"step": "stage1", "settings": {}, "counts": {}, "seconds": 1.0,
                        "outputs": {"models/stage1": "f00"}}  # fmt: skip
            tracking.log_manifest(tracker, ref, manifest)
            rows = tracker.workspace.pretrain_data
            tracking.log_dataset(tracker, ref, rows, digest="abc", context="training", rows=1)
        tracker.outbox.drain()
    client = two.client
    runs = client.search_runs([two.experiment_id])
    assert len(runs) == 2
    assert {run.data.tags["clara.workspace"] for run in runs} == {uri}
    [stage] = [run for run in runs if run.data.tags["clara.kind"] == "step"]
    assert stage.data.tags["clara.output.models/stage1"] == f"{uri}/models/stage1"
    [dataset] = stage.inputs.dataset_inputs
    assert f"{uri}/pretrain_data.jsonl" in dataset.dataset.source
    whole = client.get_run(two.run_id).data
    assert whole.params["workspace"] == uri
    assert str(tmp_path / "one") not in str(whole)


def test_other_settings_are_another_run_for_all_machines(open_on: Open) -> None:
    first = open_on("one")
    first.outbox.drain()
    second = open_on("two", seed=7)
    assert second.pipeline_id != first.pipeline_id
    assert open_on("one", seed=7).pipeline_id == second.pipeline_id
    assert second.client.get_run(first.run_id).info.status == "KILLED"


@pytest.mark.parametrize("left", [b"", b'{"half', b"[]"], ids=["nothing", "half", "no mapping"])
def test_a_damaged_identity_is_replaced_once(uri: str, tmp_path: Path, left: bytes) -> None:
    Remote(uri).write("tracking/run.json", left)
    found = []
    for machine in ("one", "two"):
        config = PipelineConfig.model_validate(
            {"workspace": str(tmp_path / machine), "remote": uri}
        )
        found.append(take_identity(config, Workspace(config.workspace), "settings"))
    assert found[0][0] == found[1][0]
    assert [abandoned for _, abandoned in found] == [None, None]
