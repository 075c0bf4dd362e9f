"""One job as a process of its own: `python -m tasks.learning.job JOB.json`.

JOB.json holds the job, and where what it needs lies; RESULT.json beside it is written last.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

from clara_model.config import Stage
from clara_model.errors import ClaraError
from clara_model.training.process import end_with_starter
from clara_model.training.spec import ModelPart, StagePart, TrainSpec
from tasks.base.losses import keep_losses
from tasks.learning.rows import training_rows
from tasks.storage import Record, write_json, write_jsonl

RESULT = "RESULT.json"
ERROR = "ERROR.txt"
MODEL = "model"
_CURVE_EVERY = 10  # steps between two writes of the reader's loss curve


def main(arguments: list[str]) -> int:
    """Do the job; returns the exit code."""
    path = Path(arguments[0])
    job = json.loads(path.read_text(encoding="utf-8"))
    folder = path.parent
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGTERM, _end)
    end_with_starter()
    started = time.time()
    try:
        result = {"reader": _read, "train": _train, "score": _score}[job["kind"]](job, folder)
    except ClaraError as err:
        (folder / ERROR).write_text(f"{err}\n", encoding="utf-8")
        return 1
    except Exception:
        (folder / ERROR).write_text(traceback.format_exc(), encoding="utf-8")
        raise
    done = {"key": job["key"], "name": job["name"], "kind": job["kind"], "started": started,
            "ended": time.time(), "machine": _machine(job["settings"]["device"])}  # fmt: skip
    write_json(folder / RESULT, {**done, **result})
    return 0


def _read(job: Record, folder: Path) -> Record:
    """Tokenizer and decoder, pretrained on the made-up world alone."""
    import torch

    from clara_model.base.pretrain import pretrain_base
    from clara_model.base.settings import BuiltInSettings
    from clara_model.base.tokenizer import train_tokenizer

    torch.set_num_threads(job["threads"])
    settings = BuiltInSettings.model_validate(job["settings"]["built_in"])
    train_tokenizer(
        [], folder / "tokenizer", vocab_size=settings.vocab_size, extended=settings.hops > 1
    )
    curve = folder / "logs" / "metrics.jsonl"
    lines: list[Record] = []

    def on_progress(report: dict[str, float]) -> None:
        lines.append({"step": report["step"], "loss": report["loss"]})
        if len(lines) % _CURVE_EVERY == 0:
            keep_losses(curve, lines)

    counts = pretrain_base(
        folder / "tokenizer", folder / MODEL, settings, user_texts=[], world_share=1.0,
        device=job["settings"]["device"],
        on_progress=on_progress,
    )  # fmt: skip
    keep_losses(curve, lines)
    return {"counts": counts}


def _train(job: Record, folder: Path) -> Record:
    """One stage, on rows written for it."""
    from tasks.training.launch import train_spec

    settings = job["settings"]
    rows = folder / "rows.jsonl"
    write_jsonl(rows, training_rows(settings["rows"]))
    spec = _spec(job, folder, rows)
    result = train_spec(spec)
    for path in (spec.documents, spec.memory):
        if path is not None and path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {"counts": result.counts}


def _spec(job: Record, folder: Path, rows: Path) -> TrainSpec:
    settings, needs = job["settings"], job["needs"]
    stage: Stage = settings["stage"]
    return TrainSpec(
        stage=stage,
        documents=rows.resolve(),
        base=Path(needs["base"]) / MODEL,
        init=Path(needs["init"]) / MODEL if "init" in needs else None,
        output=(folder / MODEL).resolve(),
        work=(folder / "work").resolve(),
        logs=(folder / "logs").resolve(),
        memory=(folder / "memory").resolve() if stage == "stage3" else None,
        inputs_hash=job["key"],
        model=ModelPart.model_validate(settings["model"]),
        training=StagePart.model_validate(settings["training"]),
        precision=settings["precision"],
        threads=job["threads"],
        resume="restart",
    )


def _score(job: Record, folder: Path) -> Record:
    """The model's value for every held-out question."""
    import torch

    from tasks.learning.scores import score_model

    torch.set_num_threads(job["threads"])
    store = folder / "memory"
    shutil.rmtree(store, ignore_errors=True)
    needs = {part: Path(place) / MODEL for part, place in job["needs"].items()}
    sets = score_model(job["settings"], needs, store)
    shutil.rmtree(store, ignore_errors=True)
    return {"sets": sets}


def _machine(device: str) -> Record:
    from clara_model.hardware import describe_accelerator

    machine: Record = {"processor": _processor(), "cores": os.cpu_count()}
    if device == "cuda":
        machine["accelerator"] = (describe_accelerator() or "").partition(",")[0]
    return machine


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _end(number: int, frame: FrameType | None) -> None:
    """Leave by an exception, so that a training process under way is asked to stop and save."""
    del frame
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
