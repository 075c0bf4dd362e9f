"""Evaluation: every system on every held-out question, scored with intervals, told honestly."""

from __future__ import annotations

import logging
import shutil
from itertools import groupby

from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import load_benchmarks
from tasks.evaluation.jobs import plan_jobs, stored_rows
from tasks.evaluation.predict import predict, progress_folder
from tasks.evaluation.summary import flat_counts, summarise
from tasks.progress import progress
from tasks.storage import StepResult, write_json
from tasks.workspace import Workspace

log = logging.getLogger(__name__)


def evaluate(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Answer what is not yet answered, score everything, and write evaluation/summary.json.

    Predictions are kept under evaluation/predictions, one file a (benchmark, setting, system),
    and asked for again only when a checkpoint, the questions or the settings change.

    Returns:
        One count a score, named benchmark/setting/system/metric.

    Raises:
        CheckpointError: If a stage has no checkpoint.
        DataError: If a benchmark row does not fit.
    """
    benchmarks = load_benchmarks(config, workspace)
    jobs = plan_jobs(config, workspace, benchmarks)
    pending = [job for job in jobs if stored_rows(job) is None]
    log.info("%d of %d prediction files are up to date", len(jobs) - len(pending), len(jobs))
    total = sum(len(job.benchmark.samples) for job in pending)
    with progress("answering held-out questions", total) as advance:
        for checkpoint, group in groupby(pending, key=lambda job: job.checkpoint):
            predict(config, workspace, checkpoint, list(group), advance)
    predictions = [(job, stored_rows(job) or []) for job in jobs]
    summary = summarise(config, workspace, benchmarks, predictions)
    write_json(workspace.evaluation / "summary.json", summary)
    shutil.rmtree(progress_folder(workspace), ignore_errors=True)
    return StepResult(flat_counts(summary))
