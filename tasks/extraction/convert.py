"""The extraction step: every file of the input to one row of raw_knowledge.jsonl."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from clara_model.errors import DataError
from configs.schema import ExtractionSettings, PipelineConfig
from tasks.extraction.files import list_files
from tasks.extraction.images import remove_orphans
from tasks.extraction.modes import choose_mode
from tasks.extraction.read import Job, rejected
from tasks.extraction.workers import limits_of, read_files
from tasks.progress import progress
from tasks.sharding.shards import Done, FanOut, run_shards, take_in
from tasks.storage import Journal, Record, Reject, StepResult, hash_json, write_jsonl
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

STEP = "extract"
# Part of the journal's fingerprint: raise it when the same file would come out differently.
VERSION = 5


def extract_documents(
    config: PipelineConfig, workspace: Workspace, fan_out: FanOut | None = None
) -> StepResult:
    """Read every file of `extraction.input` to Markdown, its pictures to `extracted_assets`.

    Files are read in worker processes, of this process or of whoever does shards; a finished file
    is in a journal, so that a run that was cut off continues. Rows are written in the order of the
    files' names.

    Returns:
        Counts (files, documents, images, pages, characters, rejected files, and `set_aside`:
        pages and pictures missing from documents that were kept) and the rejects.

    Raises:
        ConfigError: If the input does not exist, or `extraction.mode` layout cannot run.
        DataError: If the input holds no file, or none of its files can be read.
    """
    settings = choose_mode(config.extraction)
    root = settings.input if settings.input.is_dir() else settings.input.parent
    jobs = list_files(settings.input)
    # An output of the step, also where no document has a picture.
    workspace.extracted_assets.mkdir(parents=True, exist_ok=True)
    journal_path = workspace.progress / f"{STEP}.jsonl"
    with Journal(journal_path, journal_fingerprint(settings)) as journal:
        take_in(journal)
        done = {
            job.file_path: record
            for job in jobs
            if (record := _finished(journal, job, workspace, settings)) is not None
        }
        missing = [job for job in jobs if job.file_path not in done]
        if done:
            log.info("extraction continues: %d of %d files are done", len(done), len(jobs))
        # Workers may stand in another folder.
        place = (root.absolute(), workspace.extracted_assets.absolute(), settings)
        if fan_out is not None:
            items = {_key(job): replace(job, path=job.path.absolute()) for job in missing}
            run_shards(STEP, items, partial(_read_shard, place=place), journal, fan_out)
            done |= {job.file_path: journal.records[_key(job)] for job in missing}
        else:
            with progress(STEP, len(missing)) as advance:
                for job, record in read_files(missing, *place, config.execution.workers):
                    journal.add(_key(job), record)
                    done[job.file_path] = record
                    advance(note=job.file_path)
        records = {job.file_path: done[job.file_path] for job in jobs}
        result = _summarise(records)
        rows = [record["row"] for record in records.values() if record["row"] is not None]
        if not rows:
            raise DataError(
                f"none of the {len(jobs)} files of {settings.input} could be read; "
                f"the first: {result.rejects[0].item}: {result.rejects[0].reason}"
            )
        remove_orphans(
            workspace.extracted_assets, (name for row in rows for name in row["extracted_images"])
        )
        write_jsonl(workspace.raw_knowledge, rows)
    journal.discard()
    return result


def _read_shard(jobs: Sequence[Job], *, place: tuple[Path, Path, ExtractionSettings]) -> Done:
    """In a worker: some files, one after the other."""
    return Done({_key(job): record for job, record in read_files(jobs, *place, num_workers=1)})


def journal_fingerprint(settings: ExtractionSettings) -> str:
    """What a journal's records depend on, besides the files themselves; `auto` is resolved."""
    kept = settings.model_dump(mode="json", exclude={"input", "timeout_s", "memory_mb"})
    return hash_json([VERSION, kept])


def _key(job: Job) -> str:
    return f"{job.file_path}:{job.sha256}"


def _finished(
    journal: Journal, job: Job, workspace: Workspace, settings: ExtractionSettings
) -> Record | None:
    """A file's record from an earlier run, if all of its pictures still exist."""
    if job.problem:
        return rejected(job.problem)
    record = journal.records.get(_key(job))
    if record is None:
        return None
    if record["row"] is None:
        return record if record.get("limits") in (None, limits_of(settings)) else None
    names = record["row"]["extracted_images"]
    if all((workspace.extracted_assets / name).is_file() for name in names):
        return record
    return None


def _summarise(records: Mapping[str, Record]) -> StepResult:
    rows = [r["row"] for r in records.values() if r["row"] is not None]
    documents = [row for row in rows if row["source_type"] == "document"]
    rejects = tuple(
        Reject(STEP, file_path, reason)
        for file_path, record in records.items()
        for reason in record["reasons"]
    )
    num_rejected = len(records) - len(rows)
    counts: dict[str, float] = {
        "files": len(records),
        "documents": len(documents),
        "images_standalone": len(rows) - len(documents),
        "images_embedded": sum(len(row["extracted_images"]) for row in documents),
        "pages": sum(r["stats"].get("pages", 0) for r in records.values()),
        "ocr_pages": sum(r["stats"].get("ocr_pages", 0) for r in records.values()),
        "rejected": num_rejected,
        "set_aside": len(rejects) - num_rejected,
        "characters": sum(len(row["content"]) for row in rows),
    }
    return StepResult(counts=counts, rejects=rejects)
