"""What depends on a step is read off the plan's inputs and outputs."""

from __future__ import annotations

from pathlib import Path

from configs.schema import PipelineConfig
from tasks.dependents import dependents
from tasks.manifests import Step
from tasks.plan import build_plan
from tasks.workspace import Workspace


def step(name: str, reads: tuple[str, ...], writes: tuple[str, ...]) -> Step:
    return Step(name, name, 1, {}, tuple(map(Path, reads)), tuple(map(Path, writes)))


def test_dependence_goes_through_folders_and_over_several_steps() -> None:
    steps = [
        step("a", ("in",), ("data",)),
        step("b", ("data/rows.jsonl",), ("b",)),
        step("c", ("elsewhere",), ("c",)),
        step("d", ("b", "c"), ("d",)),
        step("e", ("data2",), ("e",)),
    ]
    plan = {s.name: s for s in steps}
    assert dependents(plan, ["a"]) == ["b", "d"]
    assert dependents(plan, ["c"]) == ["d"]
    assert dependents(plan, ["d"]) == []


def test_of_the_pipeline_training_stage2_concerns_nothing_before_it() -> None:
    config = PipelineConfig(workspace=Path("w"))
    plan = build_plan(config, Workspace(config.workspace))
    after = dependents(plan, ["stage2"])
    assert {"evaluate", "report"} <= set(after)
    assert not {"extract", "mine", "base", "stage1"} & set(after)
    assert set(dependents(plan, ["index"])) == set()
