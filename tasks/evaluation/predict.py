"""Asking the systems: batched, greedy, and continued where a kill cut it off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, cast

from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import Sample
from tasks.evaluation.costs import measure
from tasks.evaluation.entrants import choose_device, list_entrants
from tasks.evaluation.jobs import Job, stored_rows
from tasks.evaluation.places import progress_folder
from tasks.evaluation.reconstruct import Rebuild, regenerate
from tasks.storage import Journal, Record, write_jsonl
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from clara_model.evaluation.systems import System
    from clara_model.evaluation.systems.clara import Compressed
    from clara_model.evaluation.systems.interface import Ranking


def predict(
    config: PipelineConfig,
    workspace: Workspace,
    jobs: Sequence[Job],
    rebuilds: Sequence[Rebuild],
    advance: Callable[[int], None],
) -> None:
    """Load what some jobs share and write the predictions of each, each file atomically.

    Args:
        config: For batch size, and how models are loaded.
        workspace: Where models lie.
        jobs: Jobs around one model: those without predictions, and those whose cost is missing.
        rebuilds: Passages that this model is to write anew.
        advance: Told the number of questions and passages done.
    """
    device = choose_device()
    wanted = {job.system for job in jobs} | {rebuild.entrant.id for rebuild in rebuilds}
    systems = {
        entrant.id: entrant.plan.open()
        for entrant in list_entrants(config, workspace, device)
        if entrant.id in wanted
    }
    texts = list(dict.fromkeys(text for job in jobs for text in job.texts()))
    for job in jobs:
        system = systems[job.system]
        system.prepare(texts if job.entrant.reads_documents else [])
        if stored_rows(job) is None:
            rankings = _rankings(job, system) if job.chooses else None
            rows = [_row(job, i, s, rankings) for i, s in enumerate(job.benchmark.samples)]
            if job.entrant.reads_memories:
                _mark_cut(job, cast("Compressed", system.generator), rows)
            if job.entrant.ranks_only:
                advance(len(rows))
            else:
                rows = _answers(config, workspace, job, system, rows, advance)
            write_jsonl(job.path, rows)
        if config.evaluation.cost:
            measure(config, workspace, job, system, device)
    for rebuild in rebuilds:
        reader = cast("Compressed", systems[rebuild.entrant.id].generator)
        place = progress_folder(config, workspace)
        regenerate(rebuild, reader, place, config.evaluation.batch_size, advance)


def _rankings(job: Job, system: System) -> list[Ranking]:
    samples = job.benchmark.samples
    return system.retrieve([s.question for s in samples], [list(s.candidates) for s in samples])


def _row(job: Job, number: int, sample: Sample, rankings: list[Ranking] | None) -> Record:
    """A prediction without its answer: what was asked, and what was given or chosen."""
    row: Record = {
        "key": job.key,
        "id": sample.id,
        "question": sample.question,
        "golds": list(sample.golds),
        "positives": list(sample.positives),
    }
    if rankings is None:
        row["documents"] = job.documents(sample)
    else:
        order, scores = rankings[number]
        known = dict(zip(order, scores, strict=True))
        places = range(len(sample.candidates))
        row["ranking"] = list(order)
        row["scores"] = [round(known[i], 4) if i in known else None for i in places]
        row["documents"] = row["ranking"][: job.k]
    return row


def _mark_cut(job: Job, reader: Compressed, rows: list[Record]) -> None:
    """Note of every document that is longer than the model reads how many characters it read."""
    samples = job.benchmark.samples
    texts = list(dict.fromkeys(s.candidates[i] for s, r in zip(samples, rows, strict=True)
                               for i in r["documents"]))  # fmt: skip
    kept = dict(zip(texts, reader.characters_read(texts), strict=True))
    for sample, row in zip(samples, rows, strict=True):
        cut = {str(i): kept[sample.candidates[i]] for i in row["documents"]}
        if found := {place: count for place, count in cut.items() if count is not None}:
            row["cut"] = found


def _answers(
    config: PipelineConfig,
    workspace: Workspace,
    job: Job,
    system: System,
    rows: list[Record],
    advance: Callable[[int], None],
) -> list[Record]:
    samples = job.benchmark.samples
    with Journal(progress_folder(config, workspace) / job.path.name, job.key) as journal:
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
