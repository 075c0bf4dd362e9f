from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from configs.schema import PipelineConfig
from tasks import tracking
from tasks.storage import write_json
from tasks.tracking import Tracker
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, Workspace]:
    root = tmp_path_factory.mktemp("tracked")
    settings = {"artifact_max_mb": 0.001}
    config = PipelineConfig.model_validate({"workspace": root, "tracking": settings})
    return config, Workspace(root)


def runs(tracker: Tracker) -> list:
    return tracker.client.search_runs([tracker.experiment_id])


def test_a_restarted_pipeline_continues_its_runs_and_doubles_nothing(
    opened: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = opened
    first = tracking.open_pipeline_run(config, workspace)
    with tracking.step_run(first, "stage1", "key") as ref:
        tracking.log_metrics(first, ref, [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}])
    client, run_id = first.client, first.mlflow_id(ref)
    # as after a kill: opened again, the steps after the checkpoint are reported once more; what
    # only changes how fast it goes does not make it another pipeline
    training = config.training.model_copy(update={"checkpoint_minutes": 7.0})
    again = tracking.open_pipeline_run(config.model_copy(update={"training": training}), workspace)
    with tracking.step_run(again, "stage1", "key") as same:
        tracking.log_metrics(again, same, [{"step": 2, "loss": 2.5}, {"step": 3, "loss": 1.0}])
    assert len(runs(again)) == 2
    assert (again.run_id, again.mlflow_id(same)) == (first.run_id, run_id)
    history = client.get_metric_history(run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    child = client.get_run(run_id)
    assert child.data.tags["mlflow.parentRunId"] == again.run_id
    assert child.info.status == "FINISHED"


def test_runs_carry_what_they_are_compared_by(opened: tuple[PipelineConfig, Workspace]) -> None:
    config, workspace = opened
    write_json(workspace.manifests / "mine.json", {"outputs": {"pretrain_data.jsonl": "abc"}})
    tracker = tracking.open_pipeline_run(config, workspace)
    with tracking.step_run(tracker, "stage2", "key") as ref:
        pass
    run = tracker.client.get_run(tracker.mlflow_id(ref))
    (workspace.manifests / "mine.json").unlink()
    expected = {
        "clara.model": "clara", "clara.compr_rate": "32", "clara.base": "built-in",
        "clara.stage": "stage2", "clara.pipeline_id": tracker.pipeline_id,
    }  # fmt: skip
    assert {name: run.data.tags.get(name) for name in expected} == expected
    assert len(run.data.tags["clara.data_fingerprint"]) == 16
    assert len(run.data.tags["clara.git_commit"]) == 40
    assert run.info.run_name == f"stage2 built-in r32 {tracker.pipeline_id[:8]}"


def test_another_configuration_opens_another_run_and_closes_the_abandoned_one(
    opened: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = opened
    first = tracking.open_pipeline_run(config, workspace)
    other = tracking.open_pipeline_run(config.model_copy(update={"seed": 7}), workspace)
    client = other.client
    assert other.run_id != first.run_id
    assert client.get_run(first.run_id).info.status == "KILLED"


def test_a_failed_step_is_marked_failed(opened: tuple[PipelineConfig, Workspace]) -> None:
    config, workspace = opened
    tracker = tracking.open_pipeline_run(config, workspace)
    with pytest.raises(RuntimeError), tracking.step_run(tracker, "mine", "key") as ref:
        raise RuntimeError
    assert tracker.client.get_run(tracker.mlflow_id(ref)).info.status == "FAILED"


def test_a_manifest_becomes_parameters_metrics_and_links(
    opened: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = opened
    tracker = tracking.open_pipeline_run(config, workspace)
    manifest: dict[str, Any] = {
        "step": "stage3", "settings": {"steps": 5}, "counts": {"loss_last": 0.25}, "seconds": 9.0,
        "outputs": {"models/stage3": "f00"},
    }  # fmt: skip
    with tracking.step_run(tracker, "stage3", "key") as ref:
        tracking.log_manifest(tracker, ref, manifest)
    client = tracker.client
    own, whole = client.get_run(tracker.mlflow_id(ref)).data, client.get_run(tracker.run_id).data
    assert own.params == {"settings.steps": "5"}
    assert own.metrics == {"loss_last": 0.25, "seconds": 9.0}
    assert (
        own.tags["clara.output.models/stage3"] == (workspace.models / "stage3").resolve().as_uri()
    )
    # the pipeline's own run has them by the step's name, so that two pipelines can be compared
    assert whole.metrics["stage3/loss_last"] == 0.25
    assert whole.params["model.compr_rate"] == "32"


def test_small_files_are_copied_as_they_were_and_large_ones_linked(
    opened: tuple[PipelineConfig, Workspace], tmp_path: Path
) -> None:
    config, workspace = opened
    small, large = tmp_path / "small.txt", tmp_path / "large.bin"
    small.write_text("first")
    large.write_bytes(b"x" * 4000)
    tracker = tracking.open_pipeline_run(config, workspace)
    with tracking.step_run(tracker, "report", "key") as ref:
        tracking.log_artifacts(tracker, ref, [small, large, tmp_path / "absent"])
        small.write_text("second")
    client = tracker.client
    run_id = tracker.mlflow_id(ref)
    assert {f.path for f in client.list_artifacts(run_id)} == {"small.txt", "large.bin.link.txt"}
    stored = Path(client.download_artifacts(run_id, "small.txt"))
    assert stored.read_text() == "first"
    link = Path(client.download_artifacts(run_id, "large.bin.link.txt")).read_text()
    assert link.splitlines()[0] == large.as_uri()
    assert hashlib.sha256(large.read_bytes()).hexdigest() in link
    assert client.get_run(run_id).data.tags["clara.artifact.large.bin"] == large.as_uri()
    assert list((workspace.root / "tracking" / "files").iterdir()) == []


def test_system_metrics_are_sampled_only_where_asked(
    opened: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = opened
    for on in (True, False):
        settings = {"system_metrics": on, "system_metrics_every_s": 0.05}
        changed = config.tracking.model_copy(update=settings)
        tracker = tracking.open_pipeline_run(
            config.model_copy(update={"tracking": changed}), workspace
        )
        with tracking.step_run(tracker, "card", f"key{on}") as ref:
            time.sleep(0.6)
        names = set(tracker.client.get_run(tracker.mlflow_id(ref)).data.metrics)
        assert ("system/cpu_utilization_percentage" in names) is on


def test_nested_settings_become_dotted_parameters() -> None:
    assert tracking.flatten({"a": {"b": 1, "c": {"d": 2}}}) == {"a.b": 1, "a.c.d": 2}
