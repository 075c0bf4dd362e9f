"""The table of costs: manifests of a workspace, carried over to other numbers of documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scaling import STEPS, arithmetic, asked_for, measured_costs, table
from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.storage import write_json, write_jsonl
from tasks.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Forty documents that took two seconds a step and left 1,000 bytes each time."""
    ws = Workspace(tmp_path)
    for step in STEPS:
        (tmp_path / f"{step}.out").write_bytes(b"x" * 1000)
        manifest = {
            "counts": {"files": 40, "pages": 80, "seconds": 3},
            "cpu_seconds": 2.0,
            "outputs": {f"{step}.out": "0"},
        }
        write_json(ws.manifests / f"{step}.json", manifest)
    return ws


def test_costs_are_for_a_thousand_documents(workspace: Workspace) -> None:
    documents, costs = measured_costs(workspace)
    assert documents == 40
    assert [cost.cpu_seconds for cost in costs] == [50.0] * len(STEPS)
    assert costs[0].bytes == 25_000
    assert costs[0].counts == {"pages": 2000}
    assert "| extract | 50 | 0.0 MB | pages 2,000 |" in list(table(documents, costs))


def test_a_million_documents_take_a_thousand_times_as_long(workspace: Workspace) -> None:
    documents, costs = measured_costs(workspace)
    # 50 s x 1000 = 13.9 core hours; 25 kB x 1000 = 25 MB
    assert "| extract | 14 | 1.4 | 0.0 GB |" in list(arithmetic(1_000_000, documents, costs, 10))


def test_a_step_without_processor_time_is_to_be_run_again(workspace: Workspace) -> None:
    write_json(workspace.manifests / "mine.json", {"counts": {}, "outputs": {}})
    with pytest.raises(DataError, match="clara mine --force"):
        measured_costs(workspace)


def test_prices_are_those_of_the_presets(workspace: Workspace) -> None:
    write_jsonl(workspace.passages, [{"text": "The pier of Norrin was built by Ada in 1911."}] * 3)
    lines = asked_for(PipelineConfig(), workspace, "gpt-4.1-mini")
    assert {line.model for line in lines} == {"gpt-4.1-mini"}
    [line] = [line for line in lines if line.step == "synthesize"]
    assert line.cost_usd == pytest.approx(
        (line.prompt_tokens * 0.40 + line.completion_tokens * 1.60) / 1e6, rel=1e-3
    )
    with pytest.raises(DataError, match="price is not known"):
        asked_for(PipelineConfig(), workspace, "no-such-model")
