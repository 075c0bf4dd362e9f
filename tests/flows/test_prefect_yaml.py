"""Prefect ignores unknown keys in prefect.yaml; this test does not."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import DeploymentConfig, WorkPoolConfig

ROOT = Path(__file__).resolve().parents[2]
TREE: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = TREE["deployments"]


def test_top_level_keys_are_known() -> None:
    assert set(TREE) <= {"name", "prefect-version", "build", "push", "pull", "definitions",
                         "deployments"}  # fmt: skip


def test_every_flow_is_deployed() -> None:
    assert {d["name"] for d in DEPLOYMENTS} == {
        "extract", "caption", "synthesize", "mine", "train-stage1", "train-stage2",
        "train-stage3", "index", "evaluate", "pipeline", "sweep",
    }  # fmt: skip


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_deployment_has_known_keys_and_an_entry_point_that_takes_its_parameters(
    deployment: dict[str, Any],
) -> None:
    assert set(deployment) <= set(DeploymentConfig.model_fields)
    assert set(deployment["work_pool"]) <= set(WorkPoolConfig.model_fields)
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    assert flow.name == deployment["name"]
    assert flow.validate_parameters(deployment["parameters"]) == deployment["parameters"]
