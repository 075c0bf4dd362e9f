"""A learning proof in MLflow: one run a seed with what it reached."""

from __future__ import annotations

from configs.learning import LearningConfig
from configs.schema import PipelineConfig
from tasks import tracking
from tasks.learning.learn import Proof, summary_metrics
from tasks.storage import hash_json
from tasks.tracking import Tracker
from tasks.workspace import Workspace


def record_proof(config: LearningConfig, proof: Proof) -> Tracker:
    """Log every seed's scores, and page and summary as artifacts; returns the run they are in."""
    workspace = Workspace(config.workspace)
    model = {"doc_max_length": config.model.doc_max_length, "compr_rate": config.main_rate}
    pipeline = PipelineConfig.model_validate(
        {"workspace": config.workspace, "model": model, "tracking": config.tracking.model_dump()}
    )
    tracker = tracking.open_pipeline_run(pipeline, workspace)
    key = hash_json(config.model_dump(mode="json"))
    for place, seed in enumerate(config.seeds):
        metrics = summary_metrics(proof.summary, place)
        with tracking.step_run(tracker, f"learn-seed{seed}", key) as run_id:
            tracking.log_metrics(tracker, run_id, [{"step": 0, **metrics}])
            files = [proof.page, workspace.root / "summary.json", workspace.root / "config.json"]
            tracking.log_artifacts(tracker, run_id, files)
    tracking.finish_pipeline_run(tracker, "FAILED" if proof.outcome.failed else "FINISHED")
    return tracker
