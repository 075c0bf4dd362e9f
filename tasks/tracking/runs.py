"""One parent run a pipeline run, one child a step; found again after a kill, never doubled.

Runs go by names of ours, which are tags in MLflow. A name is written to the workspace before
anything is sent, so a kill between the two leaves something that the next start finds.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.schema import PipelineConfig
from tasks.housekeeping.logs import begin_run
from tasks.housekeeping.step_state import watch_step
from tasks.manifests import Manifest
from tasks.plan import build_plan
from tasks.storage import hash_file, hash_json
from tasks.tracking.address import has_own_database, open_client, place_uri, resolved_uri
from tasks.tracking.identity import take_identity
from tasks.tracking.outbox import Outbox, open_outbox
from tasks.tracking.spool import spool_folder
from tasks.tracking.system import sample_system
from tasks.tracking.tags import data_fingerprint, describe_pipeline, run_name
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

PIPELINE_TAG = "clara.pipeline_id"
_STEP_TAG = "clara.step_key"
_MB = 1 << 20


@dataclass(frozen=True)
class Tracker:
    """An open pipeline run.

    Args:
        config: The pipeline's configuration.
        workspace: Where its spool lies.
        pipeline_id: The id of this run everywhere: in MLflow, Prefect, logs and files.
        opened: When the pipeline was first started, in seconds since 1970.
        outbox: The way to MLflow.
    """

    config: PipelineConfig
    workspace: Workspace
    pipeline_id: str
    opened: float
    outbox: Outbox

    @property
    def client(self) -> MlflowClient:
        """A client of its own, for reading; what is on its way is sent first."""
        self.outbox.drain()
        return open_client(resolved_uri(self.config, self.workspace))

    @property
    def experiment_id(self) -> str:
        """MLflow's id of the experiment; empty while MLflow has not heard of this run."""
        ids = self.outbox.ids(self.pipeline_id)
        return ids.experiment_id if ids else ""

    @property
    def run_id(self) -> str:
        """MLflow's id of the pipeline's run; empty while MLflow has not heard of it."""
        return self.mlflow_id(self.pipeline_id)

    def mlflow_id(self, ref: str) -> str:
        """MLflow's id of a run of ours; empty while MLflow has not heard of it."""
        ids = self.outbox.ids(ref)
        return ids.run_id if ids else ""


def open_pipeline_run(config: PipelineConfig, workspace: Workspace) -> Tracker:
    """Find or create the parent run of this configuration's pipeline run.

    An unfinished run with the same results-deciding settings is continued; of others, it is marked
    KILLED. Returns at once, whether MLflow answers or not.
    """
    uri = resolved_uri(config, workspace)
    outbox = open_outbox(spool_folder(workspace), uri, config.tracking.send_wait_s)
    plan = build_plan(config, workspace)
    settings = hash_json([[step.name, step.version, step.settings] for step in plan.values()])
    identity, abandoned = take_identity(config, workspace, settings)
    if abandoned is not None:
        outbox.add(
            do="forget", experiment=config.tracking.experiment, tag=PIPELINE_TAG,
            value=abandoned, at=_now(),
        )  # fmt: skip
    pipeline_id = identity.pipeline_id
    begin_run(config, workspace, pipeline_id)
    tags = describe_pipeline(config, workspace, pipeline_id)
    what = tags.get("clara.sweep", "pipeline")
    tracker = Tracker(config, workspace, pipeline_id, identity.opened, outbox)
    _add_run(
        tracker, pipeline_id, run_name(config, what, pipeline_id),
        {PIPELINE_TAG: pipeline_id, "clara.kind": "pipeline"}, tags,
    )  # fmt: skip
    params = flatten(config.model_dump(mode="json") | {"workspace": tags["clara.workspace"]})
    outbox.add(do="params", ref=pipeline_id, params=params)
    return tracker


@contextmanager
def step_run(tracker: Tracker, step: str, key: str) -> Iterator[str]:
    """The child run of one step: found by its fingerprint or created; closed with its outcome.

    Args:
        tracker: The pipeline run.
        step: Name of the step.
        key: The step's fingerprint; a cut-off step continues its own run.

    Yields:
        Our name of the run, for the functions below.
    """
    ref = f"{tracker.pipeline_id}:{step}:{key[:16]}"
    tags = describe_pipeline(tracker.config, tracker.workspace, tracker.pipeline_id)
    name = step if step.startswith("learn-") else run_name(tracker.config, step, ref)
    _add_run(
        tracker, ref, name, {_STEP_TAG: ref, "clara.kind": "step"},
        {**tags, "clara.step": step, "clara.stage": step}, parent=tracker.pipeline_id,
    )  # fmt: skip
    try:
        with (
            watch_step(tracker.workspace, step, tracker.pipeline_id),
            sample_system(tracker.config.tracking, lambda line: log_metrics(tracker, ref, [line]),
                          since=tracker.opened),
        ):  # fmt: skip
            yield ref
    except BaseException:
        tracker.outbox.add(do="close", ref=ref, status="FAILED", at=_now())
        raise
    tracker.outbox.add(do="close", ref=ref, status="FINISHED", at=_now())


def log_manifest(tracker: Tracker, run_id: str, manifest: Manifest) -> None:
    """Settings as parameters, counts and seconds as metrics, outputs as links of a step's run.

    The counts are put at the pipeline's run as well, under the step's name, for comparisons.
    """
    numbers = {**manifest["counts"], "seconds": manifest["seconds"]}
    links = {
        f"clara.output.{name}": _uri(tracker, tracker.workspace.root / name)
        for name in manifest["outputs"]
    }
    tracker.outbox.add(do="params", ref=run_id, params=flatten({"settings": manifest["settings"]}))
    tracker.outbox.add(do="tags", ref=run_id, tags=links)
    log_metrics(tracker, run_id, [{"step": 0, **numbers}])
    step = int(time.time() - tracker.opened)
    named = {f"{manifest['step']}/{name}": value for name, value in numbers.items()}
    log_metrics(tracker, tracker.pipeline_id, [{"step": step, **named}])
    data = data_fingerprint(tracker.workspace)
    if data is not None:
        tags = {"clara.data_fingerprint": data}
        tracker.outbox.add(do="tags", ref=tracker.pipeline_id, tags=tags)


def log_metrics(tracker: Tracker, run_id: str, lines: list[dict[str, Any]]) -> None:
    """Log metric lines (each with its "step"); those logged before a kill are not logged twice."""
    numbers = [
        (
            int(line["step"]),
            {
                _metric_name(key): value
                for key, value in line.items()
                if key != "step" and isinstance(value, int | float)
            },
        )
        for line in lines
    ]
    tracker.outbox.add(do="metrics", ref=run_id, at=_now(), lines=numbers)


def log_artifacts(tracker: Tracker, run_id: str, paths: list[Path]) -> None:
    """Copy result files that exist to the run's artifacts; of large files and folders, a link."""
    limit = tracker.config.tracking.artifact_max_mb * _MB
    for path in paths:
        if path.is_file() and path.stat().st_size <= limit:
            copy = _keep(path, spool_folder(tracker.workspace) / "files")
            tracker.outbox.add(do="file", ref=run_id, name=path.name, path=str(copy), folder=None)
        elif path.exists():
            uri = _uri(tracker, path)
            size = (
                f"{path.stat().st_size} bytes, sha256 {hash_file(path)}" if path.is_file() else ""
            )
            tracker.outbox.add(do="tags", ref=run_id, tags={f"clara.artifact.{path.name}": uri})
            text = f"{uri}\n{size}\n".replace("\n\n", "\n")
            tracker.outbox.add(do="text", ref=run_id, name=f"{path.name}.link.txt", text=text)


def log_dataset(
    tracker: Tracker, run_id: str, path: Path, *, digest: str, context: str, rows: int
) -> None:
    """Note a file of rows as a dataset that a run made or read; the same one is noted once.

    Args:
        tracker: The pipeline run.
        run_id: Our name of the run that gets it.
        path: The file; its content is not copied.
        digest: Hash of the file's content, hexadecimal; MLflow keeps the first 36 signs.
        context: What it is for: "training", "evaluation".
        rows: Number of rows.
    """
    tracker.outbox.add(
        do="dataset", ref=run_id, name=path.stem, digest=digest[:36], rows=rows, context=context,
        uri=_uri(tracker, path),
    )  # fmt: skip


def result_run(
    tracker: Tracker,
    name: str,
    key: str,
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    artifacts: Sequence[Path] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """A child run that is over once it is noted: one result of many, made to be compared.

    Args:
        tracker: The pipeline run.
        name: Of the run.
        key: Hash of all that decides the result; the same one is noted in the same run.
        params: What it is a result of.
        metrics: The result.
        artifacts: Files to copy.
        tags: Beside those of the pipeline.
    """
    ref = f"{tracker.pipeline_id}:{name}:{key[:16]}"
    shared = describe_pipeline(tracker.config, tracker.workspace, tracker.pipeline_id)
    _add_run(
        tracker, ref, name, {_STEP_TAG: ref, "clara.kind": "result"}, {**shared, **(tags or {})},
        parent=tracker.pipeline_id,
    )  # fmt: skip
    tracker.outbox.add(do="params", ref=ref, params=dict(params))
    log_metrics(tracker, ref, [{"step": 0, **metrics}])
    log_artifacts(tracker, ref, list(artifacts))
    tracker.outbox.add(do="close", ref=ref, status="FINISHED", at=_now())


def finish_pipeline_run(tracker: Tracker, status: str) -> None:
    """Close the parent run with "FINISHED" or "FAILED", and send what waits if MLflow answers."""
    tracker.outbox.add(do="close", ref=tracker.pipeline_id, status=status, at=_now())
    tracker.outbox.drain()


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _add_run(
    tracker: Tracker,
    ref: str,
    name: str,
    identity: dict[str, str],
    tags: dict[str, str],
    *,
    parent: str | None = None,
) -> None:
    # A server decides itself where artifacts go; beside SQLite they lie in the workspace.
    location = None
    if has_own_database(tracker.config):
        location = (tracker.workspace.root / "mlartifacts").resolve().as_uri()
    tracker.outbox.add(
        do="run", ref=ref, parent=parent, name=name, identity=identity, tags=tags, at=_now(),
        experiment=tracker.config.tracking.experiment, location=location,
        shared=tracker.config.remote is not None,  # other machines may make it as well
    )  # fmt: skip


def _keep(path: Path, folder: Path) -> Path:
    """A copy as it is now: the file may change before MLflow can be reached."""
    copy = folder / uuid.uuid4().hex / path.name
    copy.parent.mkdir(parents=True)
    shutil.copyfile(path, copy)
    return copy


def _metric_name(key: str) -> str:
    # MLflow allows letters, digits and _-./: and space only.
    return "".join(c if c.isalnum() or c in "_-./: " else "_" for c in key)


def _now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


def _uri(tracker: Tracker, path: Path) -> str:
    return place_uri(tracker.config, tracker.workspace, path)
