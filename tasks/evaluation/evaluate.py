"""Evaluation: every system on every held-out question, scored with intervals, told honestly."""

from __future__ import annotations

import logging
import shutil

from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import load_benchmarks
from tasks.evaluation.costs import is_measured, read_cost
from tasks.evaluation.entrants import Entrant, choose_device, list_entrants
from tasks.evaluation.jobs import Job, plan_jobs, stored_rows
from tasks.evaluation.judged import judge_jobs
from tasks.evaluation.losses import trained_here
from tasks.evaluation.places import evaluation_folder, progress_folder
from tasks.evaluation.predict import predict
from tasks.evaluation.questions import store_questions
from tasks.evaluation.reconstruct import (
    Rebuild,
    bert_key,
    compare_by_meaning,
    plan_rebuilds,
    stored_texts,
)
from tasks.evaluation.stored import read_stored
from tasks.evaluation.summary import Summary, flat_counts, summarise
from tasks.progress import progress
from tasks.storage import Record, StepResult, write_json
from tasks.workspace import Workspace

log = logging.getLogger(__name__)


def evaluate(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Answer what is not yet answered, score everything, and write summary.json.

    Predictions are kept, one file a (benchmark, setting, system), and asked for again only when
    weights, questions or settings change. Questions are kept beside them, so that `rescore` and
    the report need no model.

    Returns:
        One count a score, named benchmark/setting/system/metric.

    Raises:
        CheckpointError: If a model has no weights.
        ConfigError: If a system or benchmark is not there.
        DataError: If a benchmark row does not fit, or `normal` was given golds.
    """
    folder = evaluation_folder(config, workspace)
    for name in ("predictions", "questions", "reconstruction"):  # there even if all is empty
        (folder / name).mkdir(parents=True, exist_ok=True)
    benchmarks = load_benchmarks(config, workspace)
    entrants = list_entrants(config, workspace)
    jobs = plan_jobs(folder, entrants, benchmarks)
    passages = config.evaluation.reconstruction.passages
    rebuilds = plan_rebuilds(folder, entrants, benchmarks, passages)
    _ask(config, workspace, jobs, rebuilds)
    compare_by_meaning(rebuilds, config.evaluation, choose_device)
    judge_jobs(config, workspace, jobs)
    store_questions(folder, benchmarks)
    write_json(folder / "index.json", _index(config, workspace, entrants, jobs, rebuilds))
    summary = rescore(config, workspace)
    shutil.rmtree(progress_folder(config, workspace), ignore_errors=True)
    return StepResult(flat_counts(summary))


def _ask(
    config: PipelineConfig, workspace: Workspace, jobs: list[Job], rebuilds: list[Rebuild]
) -> None:
    """Have answered, measured and written what is not there yet; each model is loaded once."""
    folder = evaluation_folder(config, workspace)
    unanswered = [job for job in jobs if stored_rows(job) is None]
    unwritten = [rebuild for rebuild in rebuilds if stored_texts(rebuild) is None]
    log.info("%d of %d prediction files are up to date", len(jobs) - len(unanswered), len(jobs))
    pending = [
        job for job in jobs if stored_rows(job) is None or not is_measured(config, folder, job)
    ]
    total = sum(len(job.benchmark.samples) for job in unanswered)
    total += sum(len(rebuild.passages) for rebuild in unwritten)
    models = [*(job.entrant.model for job in pending), *(one.entrant.model for one in unwritten)]
    with progress("answering held-out questions", total) as advance:
        for model in dict.fromkeys(models):
            own = [job for job in pending if job.entrant.model == model]
            texts = [rebuild for rebuild in unwritten if rebuild.entrant.model == model]
            predict(config, workspace, own, texts, advance)


def rescore(config: PipelineConfig, workspace: Workspace) -> Summary:
    """Score the stored predictions of the last evaluation again; needs no model and no torch.

    Raises:
        DataError: If there was no evaluation, or some of its predictions are gone.
    """
    folder = evaluation_folder(config, workspace)
    stored = read_stored(folder)
    summary = summarise(
        config, workspace, stored.benchmarks, stored.index, stored.predictions, stored.written
    )
    write_json(folder / "summary.json", summary)
    return summary


def _index(
    config: PipelineConfig,
    workspace: Workspace,
    entrants: list[Entrant],
    jobs: list[Job],
    rebuilds: list[Rebuild],
) -> Record:
    """What was asked, by which the predictions of this evaluation are told from older ones."""
    folder, settings = evaluation_folder(config, workspace), config.evaluation
    return {
        "systems": [entrant.describe() for entrant in entrants],
        "own": not settings.systems,
        "logged": trained_here(entrants, workspace),
        "judged": settings.judge.enabled,
        "judge": settings.judge.model_for("verification") if settings.judge.enabled else None,
        "jobs": [
            {
                "benchmark": job.benchmark.name,
                "pool": job.benchmark.pool,
                "setting": job.setting,
                "system": job.system,
                "k": job.k,
                "chooses": job.chooses,
                "ranks_only": job.entrant.ranks_only,
                "key": job.key,
                "cost": read_cost(folder, job) if settings.cost else None,
            }
            for job in jobs
        ],
        "reconstruction": [
            {
                "benchmark": rebuild.benchmark,
                "system": rebuild.entrant.id,
                "key": rebuild.key,
                "bert_key": bert_key(rebuild.key, settings)
                if settings.reconstruction.bert_score
                else None,
            }
            for rebuild in rebuilds
        ],
    }
