"""Prefect ignores unknown keys in prefect.yaml; this test does not."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.workers.process import ProcessVariables

from flows.parts import ONE_AT_A_TIME, PARTS

ROOT = Path(__file__).resolve().parents[2]
TREE: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = TREE["deployments"]
BY_NAME = {deployment["name"]: deployment for deployment in DEPLOYMENTS}
PIPELINES = {"pipeline", "pipeline-dispatched"}


def test_top_level_keys_are_known() -> None:
    assert set(TREE) <= {"name", "prefect-version", "build", "push", "pull", "definitions",
                         "deployments"}  # fmt: skip


def test_every_flow_is_deployed_once() -> None:
    names = [deployment["name"] for deployment in DEPLOYMENTS]
    assert sorted(names) == sorted({
        "extract", "caption", "synthesize", "mine", "train-stage1", "train-stage2", "train-stage3",
        "index", "evaluate", "pipeline", "pipeline-dispatched", "sweep", "learn",
    })  # fmt: skip


def test_every_part_of_the_pipeline_finds_its_deployment() -> None:
    assert {part.name for part in PARTS} <= set(BY_NAME)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_deployment_has_only_keys_that_prefect_reads(deployment: dict[str, Any]) -> None:
    assert set(deployment) <= set(DeploymentConfig.model_fields)
    assert set(deployment["work_pool"]) <= set(WorkPoolConfig.model_fields)
    variables = deployment["work_pool"]["job_variables"]
    assert set(variables) <= set(ProcessVariables.model_fields)
    assert all(isinstance(value, str) for value in variables["env"].values())
    assert set(deployment.get("concurrency_limit", {})) <= set(ConcurrencyLimitSpec.model_fields)
    for schedule in deployment.get("schedules", ()):
        RawScheduleConfig.model_validate(schedule)  # forbids unknown keys itself
        assert schedule["slug"], "without a slug, deploying again would make a second one"


def test_every_definition_is_what_some_deployment_is_made_of() -> None:
    parts = [
        part
        for deployment in DEPLOYMENTS
        for part in (
            deployment["work_pool"], deployment["work_pool"]["job_variables"],
            deployment["parameters"], deployment.get("concurrency_limit"),
        )
    ]  # fmt: skip
    assert [name for name, value in TREE["definitions"].items() if value not in parts] == []


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_deployment_has_an_entry_point_that_takes_its_parameters(
    deployment: dict[str, Any],
) -> None:
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    assert flow.name == deployment["name"].removesuffix("-dispatched")
    assert flow.validate_parameters(deployment["parameters"]) == deployment["parameters"]
    assert set(deployment["parameters"]) == set(flow.parameters.properties)


@pytest.mark.parametrize("name", ["train-stage1", "train-stage2", "train-stage3", "pipeline"])
def test_what_trains_runs_on_gpu_workers_one_at_a_time(name: str) -> None:
    deployment = BY_NAME[name]
    assert deployment["work_pool"]["name"] == ONE_AT_A_TIME
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_a_pipeline_that_sends_its_stages_away_holds_no_gpu() -> None:
    deployment = BY_NAME["pipeline-dispatched"]
    assert "execution.dispatch=deployments" in deployment["parameters"]["overrides"]
    assert deployment["work_pool"]["name"] != ONE_AT_A_TIME


def test_schedules_are_a_nightly_pipeline_and_a_weekly_evaluation_both_off() -> None:
    schedules = {
        deployment["name"]: schedule
        for deployment in DEPLOYMENTS
        for schedule in deployment.get("schedules", ())
    }
    assert set(schedules) == {*PIPELINES, "evaluate"}
    assert all(schedule["active"] is False for schedule in schedules.values())
    assert schedules["pipeline"]["cron"].split()[2:] == ["*", "*", "*"]
    assert schedules["evaluate"]["cron"].split()[2:] == ["*", "*", "0"]


def test_a_worker_elsewhere_works_in_its_own_copy_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (step,) = TREE["pull"]
    ((name, arguments),) = step.items()
    module, _, function = name.rpartition(".")
    found = getattr(importlib.import_module(module), function)(**arguments)
    assert Path(found["directory"]) == ROOT == Path.cwd()
