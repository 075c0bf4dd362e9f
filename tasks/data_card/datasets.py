"""The row files as MLflow datasets: by the hashes that the step which wrote them noted."""

from __future__ import annotations

from tasks.manifests import hash_path
from tasks.rows.validate_workspace import row_files
from tasks.tracking import Tracker, log_dataset
from tasks.workspace import Workspace


def log_datasets(tracker: Tracker, workspace: Workspace) -> None:
    """Note every row file of the user's documents in the pipeline's run."""
    for file in row_files(workspace):
        if file.is_world:
            continue
        path = workspace.root / file.name
        with path.open("rb") as stream:
            rows = sum(1 for line in stream if line.strip())
        log_dataset(
            tracker, tracker.pipeline_id, path, digest=hash_path(path, workspace), rows=rows,
            context="evaluation" if file.is_held_out else "training",
        )  # fmt: skip
