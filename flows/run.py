"""What every flow does around its tasks: open the run, skip what is current, record the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prefect.runtime import flow_run

import tasks.llm.task  # noqa: F401 - says how Secret blocks are read
from clara_model.errors import LaunchError
from configs.load import load_config
from configs.schema import PipelineConfig
from configs.secrets import load_environment
from flows.artifacts import Outcome, publish_progress, publish_summary
from flows.dispatch import run_part
from flows.identity import share_run_id
from flows.parts import Part, parts_of
from tasks import tracking
from tasks.dependents import dependents
from tasks.manifests import Step, fingerprint, is_current, read_manifest, run_step
from tasks.plan import build_plan
from tasks.progress import tell_progress
from tasks.storage import StepResult
from tasks.travel.mirror import open_workspace
from tasks.turn import take_turn
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
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def step(
        self,
        name: str,
        work: Callable[[OnMetrics], StepResult],
        artifacts: Sequence[Path] = (),
    ) -> None:
        """Do one step unless its manifest matches; record it in MLflow and for the summary.

        Args:
            name: Name of the step in the plan.
            work: Calls the step's Prefect task; is given a function that logs metric lines.
            artifacts: Result files to copy into MLflow.
        """
        step = self.plan[name]
        with take_turn(step, self.workspace, self.config, force=self.force) as is_due:
            if not is_due:
                log.info("%s: up to date", name)
                self.outcomes[name] = Outcome(
                    "up to date", read_manifest(self.workspace, step.record)
                )
                return
            self._do(step, work, artifacts)

    def _do(
        self, step: Step, work: Callable[[OnMetrics], StepResult], artifacts: Sequence[Path]
    ) -> None:
        name = step.name
        log.info("%s: %s", name, step.title)
        key = fingerprint(step, self.workspace)
        with tracking.step_run(self.tracker, name, key) as run_id:

            def on_metrics(lines: list[dict[str, float]]) -> None:
                tracking.log_metrics(self.tracker, run_id, lines)

            manifest = run_step(step, self.workspace, lambda: work(on_metrics))
            tracking.log_manifest(self.tracker, run_id, manifest)
            tracking.log_artifacts(self.tracker, run_id, list(artifacts))
        log.info("%s: done in %.0f s", name, manifest["seconds"])
        self.outcomes[name] = Outcome("done", manifest)

    def run_parts(
        self, parts: Sequence[Part], config: str, overrides: Sequence[str], *, force: bool = False
    ) -> None:
        """Run those of some parts that are not done, each where `execution.dispatch` says.

        Raises:
            LaunchError: If a part ran elsewhere, and left nothing in this workspace.
        """
        for number, part in enumerate(parts):
            tell_progress(part.name, number, len(parts))
            if not force and is_done(self, part.steps):
                state = "up to date"
            else:
                run_part(part, config, overrides, force, self.config)
                state = "done"
                if self.config.execution.dispatch != "process" and not is_done(self, part.steps):
                    raise LaunchError(
                        f"{part.name} completed elsewhere, but {self.workspace.root} here holds no "
                        "result of it: `workspace` has to be the same folder for all workers"
                    )
            for name in part.steps:
                if name in self.plan:
                    self.outcomes[name] = Outcome(
                        state, read_manifest(self.workspace, self.plan[name].record)
                    )
        tell_progress("all parts", len(parts), len(parts))


def is_done(run: Run, steps: Sequence[str]) -> bool:
    """Whether none of some steps has anything left to do."""
    open_workspace(run.config)  # as other workers have left it
    return all(is_current(run.plan[name], run.workspace) for name in steps if name in run.plan)


@contextmanager
def open_run(
    config: str, overrides: Sequence[str], *, force: bool = False, downstream: bool = False
) -> Iterator[Run]:
    """Load the configuration and open its run in MLflow; closed with its outcome.

    Args:
        config: The configuration file.
        overrides: Values that replace the file's.
        force: Do steps even if they are current.
        downstream: Afterwards run the parts that depend on the block's steps and are not current.
    """
    load_environment()
    settings = load_config(config, overrides)
    workspace = open_workspace(settings)
    workspace.root.mkdir(parents=True, exist_ok=True)
    tracker = tracking.open_pipeline_run(settings, workspace)
    share_run_id(tracker)
    name = flow_run.flow_name or "flow"
    try:
        with publish_progress(name):
            run = Run(settings, workspace, build_plan(settings, workspace), tracker, force)
            yield run
            if downstream:
                affected = dependents(run.plan, list(run.outcomes))
                run.run_parts(parts_of(affected), config, overrides)
    except BaseException:
        tracking.finish_pipeline_run(tracker, "FAILED")
        raise
    tracking.finish_pipeline_run(tracker, "FINISHED")
    publish_summary(name, settings, tracker, run.outcomes)
