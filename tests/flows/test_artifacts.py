"""What a flow shows when it is done."""

from __future__ import annotations

import pytest

from configs.schema import PipelineConfig
from flows.artifacts import Outcome, mlflow_link, summary_markdown, summary_table
from tasks.tracking import Tracker

OUTCOMES = {
    "passages": Outcome("up to date", {"counts": {"passages": 12}, "seconds": 3.5,
                                       "finished": "2026-01-01T00:00:00", "code_version": "abc"}),
    "synthesize": Outcome("done", {"counts": {"simple": 7, "complex": 2}, "seconds": 1.0,
                                   "finished": "2026-01-01T00:01:00", "code_version": "abc"}),
    "card": Outcome("done", None),
}  # fmt: skip


def test_the_table_has_a_row_for_every_count() -> None:
    assert summary_table(OUTCOMES) == [
        {"step": "passages", "count": "passages", "value": 12},
        {"step": "synthesize", "count": "simple", "value": 7},
        {"step": "synthesize", "count": "complex", "value": 2},
    ]


def test_the_summary_tells_what_was_reused_and_where_the_metrics_are() -> None:
    page = summary_markdown("synthesize", OUTCOMES, "http://m/#/runs/1")
    assert "| passages | up to date | 3.5 | 2026-01-01T00:00:00 | abc |" in page
    assert "| synthesize | done | 1.0 |" in page
    assert "(http://m/#/runs/1)" in page


def test_the_link_goes_to_the_server_or_to_where_the_workspace_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ids:
        experiment_id, run_id = "3", "77"

    tracker: Tracker = Ids()  # type: ignore[assignment]
    served = PipelineConfig.model_validate({"tracking": {"uri": "https://mlflow.example/"}})
    assert mlflow_link(served, tracker) == "https://mlflow.example/#/experiments/3/runs/77"
    monkeypatch.setenv("CLARA_MLFLOW_PAGE", "http://127.0.0.1:5011")
    assert mlflow_link(PipelineConfig(), tracker) == "http://127.0.0.1:5011/#/experiments/3/runs/77"
