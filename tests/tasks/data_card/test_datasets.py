from __future__ import annotations

import hashlib
import json
from pathlib import Path

from small_rows import write_unanswerable, write_workspace

from configs.schema import PipelineConfig
from tasks import tracking
from tasks.data_card.datasets import log_datasets


def test_row_files_are_noted_once_as_datasets_with_their_hashes(tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path)
    write_unanswerable(workspace)
    tracker = tracking.open_pipeline_run(PipelineConfig(workspace=tmp_path), workspace)
    log_datasets(tracker, workspace)
    log_datasets(tracker, workspace)
    client = tracker.client  # sends what waits, and so makes the run known
    noted = client.get_run(tracker.run_id).inputs.dataset_inputs
    found = {entry.dataset.name: entry for entry in noted}
    assert len(noted) == len(found) == 6
    row_file = found["pretrain_data"]
    digest = hashlib.sha256(workspace.pretrain_data.read_bytes()).hexdigest()
    assert digest.startswith(row_file.dataset.digest)
    assert len(row_file.dataset.digest) >= 16
    assert json.loads(row_file.dataset.profile) == {"num_rows": 2}
    assert {t.key: t.value for t in row_file.tags} == {"mlflow.data.context": "training"}
    assert found["unanswerable"].tags[0].value == "evaluation"
    assert found["oracle"].tags[0].value == "evaluation"
