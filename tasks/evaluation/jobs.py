"""What has to be asked: one job a (benchmark, setting, system), and its file of predictions.

A file is reused while its key matches: checkpoint, questions, documents given and answer length.
Torch-free, so that a report can be rebuilt where there is no model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import CheckpointError
from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import Benchmark, Sample, choose_documents
from tasks.manifests import hash_path
from tasks.storage import Record, hash_json, read_records
from tasks.workspace import Workspace

# Raised by hand whenever the same checkpoint and questions would be answered otherwise.
VERSION = 1

BARE = ("closed_book", "full_text")
STAGES = ("stage1", "stage2", "stage3")
# The retriever that stage 3 starts from: the encoder adapter in the query reasoner's place.
BEFORE = "encoder"

_WEIGHTS = ("config.json", "*.safetensors", "*.pth", "*.bin")


@dataclass(frozen=True)
class Job:
    """One system on one benchmark in one setting.

    Args:
        benchmark: The questions and their candidates.
        setting: Which documents are given, see `choose_documents`.
        system: Who answers, or only ranks (`encoder`).
        checkpoint: Name of the model folder that is loaded for it.
        k: Documents the generator reads.
        path: The predictions' file.
        key: Hash of all that decides the predictions.
    """

    benchmark: Benchmark
    setting: str
    system: str
    checkpoint: str
    k: int
    path: Path
    key: str

    @property
    def chooses(self) -> bool:
        """Whether the system ranks all candidates by itself."""
        return self.system in ("stage3", BEFORE)

    def documents(self, sample: Sample) -> list[int]:
        """Positions of the documents given to a system that does not choose."""
        setting = "closed" if self.system == "closed_book" else self.setting
        return choose_documents(sample, setting, self.k)

    def texts(self) -> Iterable[str]:
        """Every document that must be compressed for this job."""
        if self.system in BARE:
            return
        for sample in self.benchmark.samples:
            if self.chooses:
                yield from sample.candidates
            else:
                yield from (sample.candidates[i] for i in self.documents(sample))


def plan_jobs(
    config: PipelineConfig, workspace: Workspace, benchmarks: Iterable[Benchmark]
) -> list[Job]:
    """All jobs, those of one checkpoint together, so that each is loaded once.

    Raises:
        CheckpointError: If a model folder holds no weights.
    """
    before = config.training.stage3.init_from
    checkpoints = {**dict.fromkeys(BARE, "stage1"), **{stage: stage for stage in STAGES}}
    checkpoints[BEFORE] = before
    hashes = {name: _weights_hash(workspace, name) for name in ("base", *STAGES)}
    k = config.model.generation_top_k
    jobs = []
    for benchmark in benchmarks:
        for setting, system in _asked(benchmark, k):
            # The bare decoder comes with stage 1's checkpoint, but none of its training.
            weights = ["base"] if system in BARE else ["base", checkpoints[system]]
            key = hash_json(
                [VERSION, [hashes[name] for name in weights], benchmark.key, setting, system, k,
                 config.evaluation.max_new_tokens]
            )[:16]  # fmt: skip
            path = prediction_path(workspace, benchmark.name, setting, system)
            jobs.append(Job(benchmark, setting, system, checkpoints[system], k, path, key))
    return sorted(jobs, key=lambda job: STAGES.index(job.checkpoint))


def prediction_path(workspace: Workspace, benchmark: str, setting: str, system: str) -> Path:
    """Where the predictions of one (benchmark, setting, system) lie."""
    return workspace.evaluation / "predictions" / f"{benchmark}.{setting}.{system}.jsonl"


def stored_rows(job: Job) -> list[Record] | None:
    """The job's predictions, if they are there, whole, and of this checkpoint and setting."""
    if not job.path.is_file():
        return None
    rows = read_records(job.path)
    fits = len(rows) == len(job.benchmark.samples) and all(row["key"] == job.key for row in rows)
    return rows if fits else None


def _asked(benchmark: Benchmark, k: int) -> Iterable[tuple[str, str]]:
    """(setting, system) pairs of one benchmark."""
    for system in (*BARE, *STAGES, BEFORE):
        yield benchmark.pool, system
    if benchmark.pool != "oracle":
        return
    if k > 1:
        for system in ("full_text", "stage1", "stage2"):
            yield "gold", system
    if benchmark.name == "world":
        yield "decoy", "stage2"


def _weights_hash(workspace: Workspace, name: str) -> str:
    folder = workspace.models / name
    files = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)})
    if not files:
        raise CheckpointError(f"{folder}: no model there; run `clara train {name}` first")
    return hash_json({path.name: hash_path(path, workspace) for path in files})


def losses(workspace: Workspace, stage: str) -> list[tuple[int, float]]:
    """(step, loss) of a stage's training; of a step done twice (after a kill) the last counts."""
    path = workspace.logs / stage / "metrics.jsonl"
    if not path.is_file():
        return []
    points: dict[int, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # torn by a kill
        if record.get("loss") is not None:
            points[int(record["step"])] = float(record["loss"])
    return sorted(points.items())
