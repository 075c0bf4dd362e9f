"""What has to be asked: one job a (benchmark, setting, system), and its file of predictions.

A file is reused while its key matches: weights, questions, documents and settings. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import DataError
from tasks.evaluation.benchmarks import UNANSWERABLE, Benchmark, Sample, choose_documents
from tasks.evaluation.entrants import Entrant
from tasks.evaluation.places import prediction_path
from tasks.storage import Record, hash_json, read_records

# Raised by hand whenever the same checkpoint and questions would be answered otherwise.
VERSION = 3


@dataclass(frozen=True)
class Job:
    """One system on one benchmark in one setting.

    Args:
        benchmark: The questions and their candidates.
        setting: Which documents are given, see `choose_documents`.
        entrant: Who answers, or only ranks.
        path: The predictions' file.
        key: Hash of all that decides the predictions.
    """

    benchmark: Benchmark
    setting: str
    entrant: Entrant
    path: Path
    key: str

    @property
    def system(self) -> str:
        """Id of the system."""
        return self.entrant.id

    @property
    def k(self) -> int:
        """Documents that the generator reads."""
        return self.entrant.k

    @property
    def chooses(self) -> bool:
        """Whether the system ranks all candidates by itself."""
        return self.entrant.chooses

    def documents(self, sample: Sample) -> list[int]:
        """Positions of the documents given to a system that does not choose."""
        setting = self.setting if self.entrant.reads_documents else "closed"
        return choose_documents(sample, setting, self.k)

    def texts(self) -> Iterable[str]:
        """Every document that the system may read."""
        if not self.entrant.reads_documents:
            return
        for sample in self.benchmark.samples:
            if self.chooses:
                yield from sample.candidates
            else:
                yield from (sample.candidates[i] for i in self.documents(sample))


def plan_jobs(
    folder: Path, entrants: Sequence[Entrant], benchmarks: Iterable[Benchmark]
) -> list[Job]:
    """All jobs, those of one model together, so that each is loaded once.

    Args:
        folder: The evaluation's.
        entrants: Who is asked.
        benchmarks: What they are asked.

    Raises:
        CheckpointError: If a model folder holds no weights.
    """
    jobs = []
    for benchmark in benchmarks:
        for setting, entrant in _asked(benchmark, entrants):
            key = hash_json([VERSION, entrant.settings, benchmark.key, setting])[:16]
            path = prediction_path(folder, benchmark.name, setting, entrant.id)
            jobs.append(Job(benchmark, setting, entrant, path, key))
    models = list(dict.fromkeys(entrant.model for entrant in entrants))
    return sorted(jobs, key=lambda job: models.index(job.entrant.model))


def stored_rows(job: Job) -> list[Record] | None:
    """The job's predictions, if they are there, whole, and of this checkpoint and setting."""
    if not job.path.is_file():
        return None
    try:
        rows = read_records(job.path)
    except DataError:  # damaged: asked again
        return None
    fits = len(rows) == len(job.benchmark.samples)
    return rows if fits and all(row.get("key") == job.key for row in rows) else None


def _asked(benchmark: Benchmark, entrants: Sequence[Entrant]) -> Iterable[tuple[str, Entrant]]:
    """(setting, system) pairs of one benchmark."""
    for entrant in entrants:
        if not (entrant.ranks_only and benchmark.pool == UNANSWERABLE):  # nothing to find
            yield benchmark.pool, entrant
    if benchmark.pool != "oracle" or benchmark.public is not None:
        return
    for entrant in entrants:
        if entrant.k > 1 and entrant.id in ("full_text", "stage1", "stage2"):
            yield "gold", entrant
        if benchmark.name == "world" and entrant.id == "stage2":
            yield "decoy", entrant
