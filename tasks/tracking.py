"""MLflow: one parent run a pipeline run, one child a step; found again after a kill, never doubled.

Runs are identified by our own tags. The identity is written to the workspace before the run is
created, so a kill between the two leaves something that the next start finds.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.schema import PipelineConfig
from tasks.manifests import Manifest, code_version
from tasks.storage import hash_json, write_json
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_PIPELINE_TAG = "clara.pipeline_id"
_STEP_TAG = "clara.step_key"
_BATCH = 1000  # most metrics in one log_batch call
_PARAMS = 100  # most parameters in one log_batch call
_MAX_PARAM = 500  # longest parameter value that every store accepts


def tracking_uri(config: PipelineConfig, workspace: Workspace) -> str:
    """The configured MLflow address, or a SQLite file in the workspace."""
    return config.tracking.uri or f"sqlite:///{workspace.root.resolve()}/mlflow.db"


@dataclass(frozen=True)
class Tracker:
    """An open pipeline run in MLflow."""

    client: MlflowClient
    experiment_id: str
    pipeline_id: str
    run_id: str
    variant: dict[str, str]


def open_pipeline_run(config: PipelineConfig, workspace: Workspace) -> Tracker:
    """Find or create the parent run of this configuration's pipeline run.

    An unfinished run of the same configuration is continued; of another one, it is marked KILLED.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(config, workspace))
    experiment_id = _experiment(client, config, workspace)
    state = _read_state(workspace)
    identity = hash_json(config.model_dump(mode="json"))
    if state is None or state["config"] != identity:
        _close_abandoned(client, experiment_id, state)
        state = {"pipeline_id": uuid.uuid4().hex, "config": identity}
        write_json(_state_path(workspace), state)
    pipeline_id = state["pipeline_id"]
    tags = {
        _PIPELINE_TAG: pipeline_id,
        "clara.workspace": str(workspace.root),
        "clara.code_version": code_version(),
        "clara.base": config.model.base,
        "clara.compr_rate": str(config.model.compr_rate),
        **(variant := _variant_tags(config)),
    }
    label = variant.get("clara.sweep", "pipeline")
    run_id, created = _find_or_create(
        client, experiment_id, {_PIPELINE_TAG: pipeline_id, "clara.kind": "pipeline"},
        name=f"{label}-{pipeline_id[:8]}", tags=tags,
    )  # fmt: skip
    if created:
        _log_params(client, run_id, flatten(config.model_dump(mode="json")))
    return Tracker(client, experiment_id, pipeline_id, run_id, variant)


@contextmanager
def step_run(tracker: Tracker, step: str, key: str) -> Iterator[str]:
    """The child run of one step: found by its fingerprint or created; closed with its outcome.

    Args:
        tracker: The pipeline run.
        step: Name of the step.
        key: The step's fingerprint; a cut-off step continues its own run.
    """
    identity = {_STEP_TAG: f"{tracker.pipeline_id}:{step}:{key[:16]}", "clara.kind": "step"}
    tags = {"mlflow.parentRunId": tracker.run_id, "clara.step": step,
            _PIPELINE_TAG: tracker.pipeline_id, **tracker.variant}  # fmt: skip
    run_id, _ = _find_or_create(
        tracker.client, tracker.experiment_id, identity, name=step, tags=tags
    )
    try:
        yield run_id
    except BaseException:
        tracker.client.set_terminated(run_id, "FAILED")
        raise
    tracker.client.set_terminated(run_id, "FINISHED")


def log_manifest(tracker: Tracker, run_id: str, manifest: Manifest) -> None:
    """Settings as parameters, counts and seconds as metrics of a step's run."""
    _log_params(tracker.client, run_id, flatten({"settings": manifest["settings"]}))
    numbers = {**manifest["counts"], "seconds": manifest["seconds"]}
    log_metrics(tracker, run_id, [{"step": 0, **numbers}])


def log_metrics(tracker: Tracker, run_id: str, lines: list[dict[str, Any]]) -> None:
    """Log metric lines (each with its "step"); those logged before a kill are not logged twice."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    known = _last_steps(tracker.client, run_id)
    metrics = [
        Metric(_metric_name(key), float(value), now, int(line["step"]))
        for line in lines
        for key, value in line.items()
        if key != "step" and isinstance(value, int | float)
        and int(line["step"]) > known.get(_metric_name(key), -1)
    ]  # fmt: skip
    for start in range(0, len(metrics), _BATCH):
        tracker.client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def log_artifacts(tracker: Tracker, run_id: str, paths: list[Path]) -> None:
    """Copy result files that exist to the run's artifacts."""
    for path in paths:
        if path.is_file():
            tracker.client.log_artifact(run_id, str(path))


def log_dataset(
    tracker: Tracker, run_id: str, path: Path, *, digest: str, context: str, rows: int
) -> None:
    """Note a file of rows as a dataset that a run made or read; the same one is noted once.

    Args:
        tracker: The pipeline run.
        run_id: The run that gets it.
        path: The file; its content is not copied.
        digest: Hash of the file's content, hexadecimal; MLflow keeps the first 36 signs.
        context: What it is for: "training", "evaluation".
        rows: Number of rows.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": path.resolve().as_uri()})
    dataset = Dataset(
        path.stem, digest[:36], "local", source, profile=json.dumps({"num_rows": rows})
    )
    tags = [InputTag("mlflow.data.context", context)]
    tracker.client.log_inputs(run_id, [DatasetInput(dataset, tags)])


def register_model(config: PipelineConfig, tracker: Tracker, folder: Path, key: str) -> None:
    """Register a finished model folder once as a new version of the configured model."""
    from mlflow.exceptions import MlflowException

    name = config.tracking.registered_model
    try:
        tracker.client.create_registered_model(name)
    except MlflowException as err:
        if err.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for version in tracker.client.search_model_versions(f"name = '{name}'"):
        if version.tags.get("clara.fingerprint") == key:
            return
    tracker.client.create_model_version(
        name, source=folder.resolve().as_uri(), run_id=tracker.run_id,
        tags={"clara.fingerprint": key, "clara.compr_rate": str(config.model.compr_rate)},
    )  # fmt: skip


def finish_pipeline_run(tracker: Tracker, status: str) -> None:
    """Close the parent run with "FINISHED" or "FAILED"."""
    tracker.client.set_terminated(tracker.run_id, status)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _variant_tags(config: PipelineConfig) -> dict[str, str]:
    """What tells a sweep's variants apart when runs are compared; none for other runs."""
    sweep = config.sweep
    if sweep is None or config.workspace.name != sweep.label(sweep.values[0]):
        return {}
    return {"clara.sweep": config.workspace.name, f"clara.sweep.{sweep.key}": str(sweep.values[0])}


def _experiment(client: MlflowClient, config: PipelineConfig, workspace: Workspace) -> str:
    name = config.tracking.experiment
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A server decides itself where artifacts go; beside SQLite they lie in the workspace.
    location = None
    if config.tracking.uri is None:
        location = (workspace.root / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _find_or_create(
    client: MlflowClient,
    experiment_id: str,
    identity: dict[str, str],
    *,
    name: str,
    tags: dict[str, str],
) -> tuple[str, bool]:
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in identity.items())
    found = client.search_runs([experiment_id], condition, max_results=1)
    if found:
        run_id = found[0].info.run_id
        client.update_run(run_id, status="RUNNING")
        return run_id, False
    run = client.create_run(experiment_id, run_name=name, tags={**tags, **identity})
    return run.info.run_id, True


def _log_params(client: MlflowClient, run_id: str, params: dict[str, Any]) -> None:
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    fresh = [
        Param(key, str(value)[:_MAX_PARAM]) for key, value in params.items() if key not in known
    ]
    for start in range(0, len(fresh), _PARAMS):
        client.log_batch(run_id, params=fresh[start : start + _PARAMS])


def _last_steps(client: MlflowClient, run_id: str) -> dict[str, int]:
    """The last step logged of each metric."""
    names = client.get_run(run_id).data.metrics
    return {name: max(m.step for m in client.get_metric_history(run_id, name)) for name in names}


def _metric_name(key: str) -> str:
    # MLflow allows letters, digits and _-./: and space only.
    return "".join(c if c.isalnum() or c in "_-./: " else "_" for c in key)


def _state_path(workspace: Workspace) -> Path:
    return workspace.manifests / ".run.json"


def _read_state(workspace: Workspace) -> dict[str, str] | None:
    path = _state_path(workspace)
    return json.loads(path.read_text()) if path.is_file() else None


def _close_abandoned(
    client: MlflowClient, experiment_id: str, state: dict[str, str] | None
) -> None:
    if state is None:
        return
    condition = f"tags.`{_PIPELINE_TAG}` = '{state['pipeline_id']}' and status = 'RUNNING'"
    for run in client.search_runs([experiment_id], condition):
        client.set_terminated(run.info.run_id, "KILLED")
