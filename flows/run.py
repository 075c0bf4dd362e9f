"""What every flow does around its tasks: open the run, skip what is current, record the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from configs.load import load_config
from configs.schema import PipelineConfig
from flows.summary import step_markdown
from tasks import tracking
from tasks.manifests import Manifest, Step, fingerprint, is_current, run_step
from tasks.plan import build_plan
from tasks.storage import StepResult
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

OnMetrics = Callable[[list[dict[str, float]]], None]


@dataclass(frozen=True)
class Run:
    """An open run: its configuration, workspace, steps and MLflow run."""

    config: PipelineConfig
    workspace: Workspace
    plan: dict[str, Step]
    tracker: tracking.Tracker
    force: bool

    def step(
        self,
        name: str,
        work: Callable[[OnMetrics], StepResult],
        artifacts: Sequence[Path] = (),
    ) -> None:
        """Do one step unless its manifest matches; record it in MLflow and as an artifact.

        Args:
            name: Name of the step in the plan.
            work: Calls the step's Prefect task; is given a function that logs metric lines.
            artifacts: Result files to copy into MLflow.
        """
        step = self.plan[name]
        if not self.force and is_current(step, self.workspace):
            log.info("%s: up to date", name)
            return
        log.info("%s: %s", name, step.title)
        key = fingerprint(step, self.workspace)
        with tracking.step_run(self.tracker, name, key) as run_id:

            def on_metrics(lines: list[dict[str, float]]) -> None:
                tracking.log_metrics(self.tracker, run_id, lines)

            manifest = run_step(step, self.workspace, lambda: work(on_metrics))
            tracking.log_manifest(self.tracker, run_id, manifest)
            tracking.log_artifacts(self.tracker, run_id, list(artifacts))
        log.info("%s: done in %.0f s", name, manifest["seconds"])
        _publish(step, manifest)


@contextmanager
def open_run(config: str, overrides: Sequence[str], *, force: bool = False) -> Iterator[Run]:
    """Load the configuration and open its run in MLflow; closed with its outcome."""
    settings = load_config(config, overrides)
    workspace = Workspace(settings.workspace)
    workspace.root.mkdir(parents=True, exist_ok=True)
    tracker = tracking.open_pipeline_run(settings, workspace)
    try:
        yield Run(settings, workspace, build_plan(settings, workspace), tracker, force)
    except BaseException:
        tracking.finish_pipeline_run(tracker, "FAILED")
        raise
    tracking.finish_pipeline_run(tracker, "FINISHED")


def _publish(step: Step, manifest: Manifest) -> None:
    create_markdown_artifact(
        markdown=step_markdown(step.title, manifest),
        key=f"clara-{step.name}",
        description=step.title,
    )
