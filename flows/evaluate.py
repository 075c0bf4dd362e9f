"""The flows after training: index, evaluate (with the report)."""

from __future__ import annotations

from configs.load import DEFAULT_CONFIG
from flows.parameters import Config, Overrides, pipeline_flow
from flows.run import open_run
from tasks import tracking
from tasks.evaluation.places import evaluation_folder
from tasks.evaluation.task import evaluate_task, report_task
from tasks.evaluation.tracked import log_evaluation
from tasks.indexing.task import index_task

_CONFIG = str(DEFAULT_CONFIG)


@pipeline_flow("index")
def index(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Compress every passage once, for answering."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        run.step("index", lambda _: index_task(run.config, run.workspace))


@pipeline_flow("evaluate")
def evaluate(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Score every system on held-out questions, write the report, register the model."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        settings, ws = run.config, run.workspace
        folder = evaluation_folder(settings, ws)
        run.step("evaluate", lambda _: evaluate_task(settings, ws), [folder / "summary.json"])
        run.step("report", lambda _: report_task(settings, ws), [folder / "report.html"])
        if "done" in (run.outcomes["evaluate"].state, run.outcomes["report"].state):
            log_evaluation(run.tracker, settings, ws)
        tracking.register_stages(settings, run.tracker, ws)
