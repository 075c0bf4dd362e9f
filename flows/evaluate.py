"""The flows after training: index, evaluate (with the report)."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from configs.load import DEFAULT_CONFIG
from flows.hooks import say_what_next
from flows.run import open_run
from tasks import tracking
from tasks.evaluation.task import evaluate_task, report_task
from tasks.indexing.task import index_task
from tasks.manifests import read_manifest

_CONFIG = str(DEFAULT_CONFIG)


@flow(name="index", on_failure=[say_what_next], on_crashed=[say_what_next])
def index(config: str = _CONFIG, overrides: Sequence[str] = (), force: bool = False) -> None:
    """Compress every passage once, for answering."""
    with open_run(config, overrides, force=force) as run:
        run.step("index", lambda _: index_task(run.config, run.workspace))


@flow(name="evaluate", on_failure=[say_what_next], on_crashed=[say_what_next])
def evaluate(config: str = _CONFIG, overrides: Sequence[str] = (), force: bool = False) -> None:
    """Score every system on held-out questions, write the report, register the model."""
    with open_run(config, overrides, force=force) as run:
        settings, ws = run.config, run.workspace
        summary, report = ws.evaluation / "summary.json", ws.evaluation / "report.html"
        run.step("evaluate", lambda _: evaluate_task(settings, ws), [summary])
        run.step("report", lambda _: report_task(settings, ws), [report])
        stage3 = read_manifest(ws, "stage3")
        if stage3 is not None:
            tracking.register_model(
                settings, run.tracker, ws.models / "stage3", stage3["fingerprint"]
            )
