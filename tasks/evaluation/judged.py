"""A judge's words on stored answers, kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.evaluation.jobs import Job, stored_rows
from tasks.evaluation.judge import ToJudge, judge_answers
from tasks.evaluation.places import evaluation_folder
from tasks.llm.endpoint import endpoint_url
from tasks.storage import Record, read_records, write_jsonl
from tasks.workspace import Workspace


def judge_jobs(config: PipelineConfig, workspace: Workspace, jobs: Sequence[Job]) -> None:
    """Have every answer judged, if the settings ask for it; replies are paid for once.

    Raises:
        ServiceError: If the endpoint fails for good.
    """
    settings = config.evaluation.judge
    asked = [job for job in jobs if not job.entrant.ranks_only] if settings.enabled else []
    if not asked:
        return
    folder = evaluation_folder(config, workspace)
    with endpoint_url(settings) as url:
        for job in asked:
            rows = stored_rows(job) or []
            items = [
                ToJudge(
                    sample.question,
                    sample.golds,
                    tuple(sample.candidates[i] for i in row["documents"]),
                    row["answer"],
                )
                for sample, row in zip(job.benchmark.samples, rows, strict=True)
            ]
            judged = judge_answers(items, settings, base_url=url, cache=workspace.cache)
            place = _path(folder, job.benchmark.name, job.setting, job.system)
            write_jsonl(place, [{"key": job.key, **asdict(one)} for one in judged])


def read_judged(folder: Path, job: Record) -> dict[str, dict[int, float]]:
    """Judgements of a job of the index, by metric and question; none where none fit."""
    path = _path(folder, job["benchmark"], job["setting"], job["system"])
    if not path.is_file():
        return {}
    found: dict[str, dict[int, float]] = {}
    for number, row in enumerate(read_records(path)):
        if row["key"] == job["key"]:
            for name, value in row["scores"].items():
                found.setdefault(name, {})[number] = value
    return found


def _path(folder: Path, benchmark: str, setting: str, system: str) -> Path:
    return folder / "judged" / f"{benchmark}.{setting}.{system}.jsonl"
