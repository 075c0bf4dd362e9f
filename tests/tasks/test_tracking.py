from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks import tracking
from tasks.tracking import Tracker
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, Workspace]:
    root = tmp_path_factory.mktemp("tracked")
    return PipelineConfig(workspace=root), Workspace(root)


def runs(tracker: Tracker) -> list:
    return tracker.client.search_runs([tracker.experiment_id])


def test_a_restarted_pipeline_continues_its_runs_and_doubles_nothing(
    opened: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = opened
    first = tracking.open_pipeline_run(config, workspace)
    with tracking.step_run(first, "stage1", "key") as run_id:
        tracking.log_metrics(first, run_id, [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}])
    # as after a kill: opened again, the steps after the checkpoint are reported once more
    again = tracking.open_pipeline_run(config, workspace)
    with tracking.step_run(again, "stage1", "key") as same_id:
        tracking.log_metrics(again, same_id, [{"step": 2, "loss": 2.0}, {"step": 3, "loss": 1.0}])
    assert (again.run_id, same_id) == (first.run_id, run_id)
    assert len(runs(again)) == 2
    history = again.client.get_metric_history(run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    child = again.client.get_run(run_id)
    assert child.data.tags["mlflow.parentRunId"] == again.run_id
    assert child.info.status == "FINISHED"


def test_another_configuration_opens_another_run_and_closes_the_abandoned_one(
    opened: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = opened
    first = tracking.open_pipeline_run(config, workspace)
    other = tracking.open_pipeline_run(config.model_copy(update={"seed": 7}), workspace)
    assert other.run_id != first.run_id
    assert other.client.get_run(first.run_id).info.status == "KILLED"


def test_a_failed_step_is_marked_failed(opened: tuple[PipelineConfig, Workspace]) -> None:
    config, workspace = opened
    tracker = tracking.open_pipeline_run(config, workspace)
    with pytest.raises(RuntimeError), tracking.step_run(tracker, "mine", "key") as run_id:
        raise RuntimeError
    assert tracker.client.get_run(run_id).info.status == "FAILED"


def test_a_model_is_registered_once_per_fingerprint(
    opened: tuple[PipelineConfig, Workspace], tmp_path: Path
) -> None:
    config, workspace = opened
    tracker = tracking.open_pipeline_run(config, workspace)
    for key in ("a", "a", "b"):
        tracking.register_model(config, tracker, tmp_path, key)
    versions = tracker.client.search_model_versions("name = 'clara'")
    assert sorted(v.tags["clara.fingerprint"] for v in versions) == ["a", "b"]


def test_nested_settings_become_dotted_parameters() -> None:
    assert tracking.flatten({"a": {"b": 1, "c": {"d": 2}}}) == {"a.b": 1, "a.c.d": 2}
