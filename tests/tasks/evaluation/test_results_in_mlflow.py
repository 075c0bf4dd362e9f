"""Results as MLflow runs that can be compared, and scores at model versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stored_evaluation import stored_evaluation

from tasks import tracking
from tasks.evaluation.evaluate import rescore
from tasks.evaluation.report import write_report
from tasks.evaluation.tracked import log_evaluation
from tasks.storage import write_json


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> tracking.Tracker:
    config, workspace = stored_evaluation(tmp_path_factory.mktemp("tracked"))
    rescore(config, workspace)
    write_report(config, workspace)
    for _ in range(2):  # noted again, it stays one run a result
        tracker = tracking.open_pipeline_run(config, workspace)
        log_evaluation(tracker, config, workspace)
        tracking.finish_pipeline_run(tracker, "FINISHED")
    return tracker


def results(tracker: tracking.Tracker) -> list:
    condition = "tags.`clara.kind` = 'result'"
    return tracker.client.search_runs([tracker.experiment_id], condition)


def test_one_run_a_system_benchmark_and_setting(tracker: tracking.Tracker) -> None:
    places = {(r.data.params["system"], r.data.params["setting"]) for r in results(tracker)}
    assert len(results(tracker)) == len(places) == 3 * 2 + 2
    assert {s for s, setting in places if setting == "reconstruction"} == {"clara:r4", "clara:r16"}
    assert {r.info.status for r in results(tracker)} == {"FINISHED"}


def test_metrics_are_named_alike_and_parameters_say_of_what(tracker: tracking.Tracker) -> None:
    run = next(
        r for r in results(tracker)
        if (r.data.params["system"], r.data.params["setting"]) == ("clara:r4", "oracle")
    )  # fmt: skip
    assert run.data.metrics["hotpot.em"] == pytest.approx(0.9)
    assert run.data.metrics["recall_at_1"] == pytest.approx(0.45)
    assert run.data.metrics["cost/tokens_read"] == 150
    params = run.data.params
    assert (params["compr_rate"], params["k"], params["num_candidates"]) == ("4", "2", "4")
    assert (params["benchmark"], params["pool_size"]) == ("hotpotqa", "90")
    assert run.data.tags["mlflow.parentRunId"] == tracker.run_id


def test_what_came_back_from_memories_is_a_result_as_well(tracker: tracking.Tracker) -> None:
    run = next(
        r for r in results(tracker)
        if (r.data.params["system"], r.data.params["setting"]) == ("clara:r16", "reconstruction")
    )  # fmt: skip
    assert run.data.metrics["reconstruction.numbers"] == pytest.approx(0.75)
    assert (run.data.params["compr_rate"], run.data.params["questions"]) == ("16", "4")
    table = json.loads(
        Path(tracker.client.download_artifacts(run.info.run_id, "samples.json")).read_text()
    )
    assert table["columns"][:3] == ["original", "regenerated", "reconstruction.rouge1"]
    assert len(table["data"]) == 4


def test_per_sample_table_is_an_artifact_that_mlflow_shows(tracker: tracking.Tracker) -> None:
    run = next(r for r in results(tracker) if r.data.params["setting"] == "oracle")
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"])[0]["type"] == "table"
    path = tracker.client.download_artifacts(run.info.run_id, "samples.json")
    table = json.loads(Path(path).read_text())
    assert {"question", "answer", "hotpot.em"} <= set(table["columns"])
    assert len(table["data"]) == 40


def test_a_versions_scores_follow_the_evaluation(tracker: tracking.Tracker) -> None:
    workspace, config = tracker.workspace, tracker.config
    (workspace.models / "stage3").mkdir(parents=True)
    (workspace.models / "base").mkdir()
    write_json(workspace.manifests / "stage3.json", {"fingerprint": "f", "outputs": {}})
    for value in (0.5, 0.75):
        metric = {"value": value, "low": 0.25, "high": 1.0}
        row = {"benchmark": "world", "setting": "oracle", "system": "stage3", "n": 8,
               "metrics": {"em": metric}}  # fmt: skip
        summary = {"benchmarks": [], "scores": [row], "retrieval": []}
        write_json(workspace.evaluation / "summary.json", summary)
        again = tracking.open_pipeline_run(config, workspace)
        tracking.register_stages(config, again, workspace)
        tracking.finish_pipeline_run(again, "FINISHED")
    (version,) = again.client.search_model_versions("name = 'clara'")
    assert version.tags["clara.score.world.oracle.em"] == "0.75 [0.25, 1] n=8"
