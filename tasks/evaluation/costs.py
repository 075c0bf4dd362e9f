"""What each system costs, measured on the questions that it was asked, kept beside its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.evaluation.pay_off import pays_off_after
from configs.schema import PipelineConfig
from tasks.evaluation.jobs import Job
from tasks.evaluation.places import evaluation_folder
from tasks.storage import Record, hash_json, write_json
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from clara_model.evaluation.systems import System

# Raised by hand whenever something else is measured.
VERSION = 1


def cost_path(folder: Path, job: Job) -> Path:
    """Where the measured cost of one (benchmark, setting, system) lies."""
    return folder / "cost" / f"{job.benchmark.name}.{job.setting}.{job.system}.json"


def is_measured(config: PipelineConfig, folder: Path, job: Job) -> bool:
    """Whether a job's cost is known, or not asked for."""
    if not config.evaluation.cost or not _can_be_timed(job):
        return True
    return read_cost(folder, job, _key(config, job)) is not None


def measure(
    config: PipelineConfig, workspace: Workspace, job: Job, system: System, device: str
) -> None:
    """Measure a system on a job's first questions, unless that was done before."""
    folder = evaluation_folder(config, workspace)
    if is_measured(config, folder, job):
        return
    from clara_model.evaluation.cost import measure_cost

    chosen = job.benchmark.samples[: config.evaluation.cost_questions]
    questions = [sample.question for sample in chosen]
    # The same documents for every system, a chooser too: what is timed is reading, not choosing.
    documents = [[s.candidates[i] for i in s.order[: job.k]] for s in chosen]
    cost = measure_cost(system, questions, documents, device=device)
    value = {"key": _key(config, job), "device": _device_name(device), **cost.as_json()}
    write_json(cost_path(folder, job), value)


def read_cost(folder: Path, job: Job, key: str | None = None) -> Record | None:
    """A job's measured cost; None where there is none of this system and these questions."""
    path = cost_path(folder, job)
    if not path.is_file():
        return None
    try:
        value: Record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None
    return {**value, **_reads(job)} if key is None or value.get("key") == key else None


def _reads(job: Job) -> Record:
    """Which decoder reads, and whether it reads the documents' whole text."""
    *front, last = job.entrant.plan.parts
    identity = job.entrant.settings["parts"][-1][1]
    return {
        # A CLaRa checkpoint has an identity of its own and its decoder's.
        "decoder": identity[-1] if isinstance(identity, list) else identity,
        "full_text": last.kind == "text" and all(part.kind != "lingua" for part in front),
    }


def _can_be_timed(job: Job) -> bool:
    """Once a system and benchmark; an endpoint's replies are kept, so it cannot be timed."""
    kinds = [part.kind for part in job.entrant.plan.parts]
    first = job.setting in ("oracle", "normal") and not job.entrant.ranks_only
    return first and "openai" not in kinds


def _key(config: PipelineConfig, job: Job) -> str:
    return hash_json([VERSION, job.key, config.evaluation.cost_questions])[:16]


def _device_name(device: str) -> str:
    import platform

    import torch

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"CPU ({platform.processor() or platform.machine()}, {torch.get_num_threads()} threads)"


def with_pay_off(costs: list[Record]) -> list[Record]:
    """Costs of one (benchmark, setting) with the questions after which compressing has paid off.

    Questions asked of the same passages, each reading all of them; compared with the full text of
    as many documents in front of the same decoder, where that was measured as well.
    """
    texts = [cost for cost in costs if cost.get("full_text", cost["kind"] == "text")]
    told: list[Record] = []
    for cost in costs:
        text = next((one for one in texts if _alike(one) == _alike(cost)), None)
        after = ratio = None
        if text is not None and cost["compress_s"] is not None:
            seconds = [1 / one["questions_per_s"]["median"] for one in (text, cost)]
            after = pays_off_after(cost["compress_s"]["median"], round(cost["documents"]), *seconds)
        if text is not None and cost["tokens_read"]:
            ratio = text["tokens_read"] / cost["tokens_read"]
        told.append({**cost, "prompt_compression": ratio, "pays_off_after": after})
    return told


def _alike(cost: Record) -> tuple[object, object]:
    """What two costs must share to be compared: the decoder and the number of documents."""
    return cost.get("decoder"), cost["k"]
