"""Asking the systems: batched, greedy, and continued where a kill cut it off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import Sample
from tasks.evaluation.jobs import BEFORE, Job
from tasks.indexing.build import load_model
from tasks.storage import Journal, Record, write_jsonl
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from clara_model import Clara
    from clara_model.evaluation.systems import Generator
    from clara_model.memory import MemoryStore

# More documents a forward pass than questions: they are short and nothing is generated.
_COMPRESS_BATCH = 64


def predict(
    config: PipelineConfig,
    workspace: Workspace,
    checkpoint: str,
    jobs: Sequence[Job],
    advance: Callable[[int], None],
) -> None:
    """Load one checkpoint and write the predictions of its jobs, each file atomically.

    Args:
        config: For answer length, batch size, and how the base is loaded.
        workspace: Where models and predictions lie.
        checkpoint: "stage1", "stage2" or "stage3".
        jobs: Jobs of this checkpoint whose predictions are missing.
        advance: Told the number of questions done.
    """
    from clara_model.memory import build_memory, compressor_hash

    model = load_model(workspace, checkpoint, config.model)
    compressor = compressor_hash(model)
    memories = build_memory(
        model,
        (text for job in jobs for text in job.texts()),
        progress_folder(workspace) / f"memory-{compressor[:16]}",
        batch_size=_COMPRESS_BATCH,
        checkpoint_hash=compressor,
    )
    for job in jobs:
        samples = job.benchmark.samples
        scores = _scores(job, model, memories) if job.chooses else None
        if job.system == BEFORE:
            rows = [_row(job, i, sample, scores) for i, sample in enumerate(samples)]
            advance(len(rows))
        else:
            rows = _answers(config, workspace, job, _system(config, job, model, memories), scores,
                            advance)  # fmt: skip
        write_jsonl(job.path, rows)


def progress_folder(workspace: Workspace) -> Path:
    """Where answers and compressed candidates lie until the whole evaluation is done."""
    return workspace.progress / "evaluation"


def _system(config: PipelineConfig, job: Job, model: Clara, memories: MemoryStore) -> Generator:
    from clara_model.evaluation.systems import ClosedBook, Compressed, FullText

    length = config.evaluation.max_new_tokens
    if job.system == "closed_book":
        return ClosedBook(model, length)
    if job.system == "full_text":
        return FullText(model, length)
    return Compressed(model, memories, length, lists_questions=job.system == "stage1")


def _scores(job: Job, model: Clara, memories: MemoryStore) -> list[list[float]]:
    """Cosine of every question with its candidates, by the job's retriever."""
    from clara_model.evaluation.systems import score_candidates

    questions = [sample.question for sample in job.benchmark.samples]
    if job.system == BEFORE:  # the encoder in the query reasoner's place
        queries = model.compress_documents(questions, _COMPRESS_BATCH).flatten(1)
    else:
        queries = model.represent_queries(questions, _COMPRESS_BATCH)
    return score_candidates(queries, [list(s.candidates) for s in job.benchmark.samples], memories)


def _row(job: Job, number: int, sample: Sample, scores: list[list[float]] | None) -> Record:
    """A prediction without its answer: what was asked, and what was given or chosen."""
    from clara_model.evaluation.systems import rank

    row: Record = {
        "key": job.key,
        "id": sample.id,
        "question": sample.question,
        "golds": list(sample.golds),
        "positives": list(sample.positives),
    }
    if scores is None:
        row["documents"] = job.documents(sample)
    else:
        own = scores[number]
        row["ranking"] = rank(own)
        row["scores"] = [round(score, 4) for score in own]
        row["documents"] = row["ranking"][: job.k]
    return row


def _answers(
    config: PipelineConfig,
    workspace: Workspace,
    job: Job,
    system: Generator,
    scores: list[list[float]] | None,
    advance: Callable[[int], None],
) -> list[Record]:
    samples = job.benchmark.samples
    rows = [_row(job, i, sample, scores) for i, sample in enumerate(samples)]
    with Journal(progress_folder(workspace) / job.path.name, job.key) as journal:
        for batch in _batches(rows, config.evaluation.batch_size):
            if not all(str(i) in journal for i in batch):
                questions = [rows[i]["question"] for i in batch]
                documents = [
                    [samples[i].candidates[j] for j in rows[i]["documents"]] for i in batch
                ]
                for i, answer in zip(batch, system.answer(questions, documents), strict=True):
                    journal.add(str(i), {**rows[i], "answer": answer.strip()})
            advance(len(batch))
        return [journal.records[str(i)] for i in range(len(rows))]


def _batches(rows: Sequence[Record], size: int) -> Iterator[list[int]]:
    """Row numbers in batches of one number of documents, of questions alike in length.

    The partition depends on the rows alone: an interrupted job continues with the same batches,
    so padding, and with it rounding, is the same.
    """
    order = sorted(
        range(len(rows)), key=lambda i: (len(rows[i]["documents"]), len(rows[i]["question"]), i)
    )
    for _, same in groupby(order, key=lambda i: len(rows[i]["documents"])):
        numbers = list(same)
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size]
