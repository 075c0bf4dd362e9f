"""Our implementation, measured through the trainer's own functions."""

from __future__ import annotations

import math
import os
import time
from functools import partial
from pathlib import Path

from torch import Tensor

from benchmarks.plain import StepResult
from benchmarks.rows import Row
from clara_model import Clara
from clara_model.batches import collate
from clara_model.encoding import IGNORED
from clara_model.memory import MemoryStore, build_memory, compressor_hash
from clara_model.rows import dump_line
from clara_model.training import engine as ds
from clara_model.training.dataset import Dataset, count_micro_batches
from clara_model.training.micro_batch import MicroBatches
from clara_model.training.spec import ModelPart, StagePart, TrainSpec
from clara_model.training.stages import make_batch
from clara_model.training.step import Run, run_step


def write_spec(
    model: Clara, stage: str, rows: list[Row], folder: Path, *, batch: int, micro: int, dtype: str
) -> TrainSpec:
    """The settings of a training over some rows, whose learning rate is 0.

    A step then does all its work and leaves the weights as they are.
    """
    base, documents = folder / "base", folder / "rows.jsonl"
    model.tokenizer.save_pretrained(base)
    for place in ("work", "logs"):
        (folder / place).mkdir()
    documents.write_text("".join(map(dump_line, rows)), encoding="utf-8")
    config = model.config
    return TrainSpec.model_validate(
        {
            "stage": stage, "documents": documents, "base": base, "output": folder / "model",
            "work": folder / "work", "logs": folder / "logs", "memory": folder / "memory",
            "model": ModelPart(
                doc_max_length=config.doc_max_length,
                compr_rate=config.compr_rate,
                generation_top_k=config.generation_top_k,
                lora_dropout=config.lora_dropout,
            ),
            "training": StagePart(
                batch_size=batch,
                micro_batch_size=micro,
                learning_rate=0.0,
                mse_weight=config.mse_weight,
            ),
            "zero_stage": 0 if dtype == "fp32" else 2,
            "precision": dtype,
        }
    )  # fmt: skip


class OurTrainer:
    """The training loop's step: batches by length, collation, DeepSpeed, loss in chunks.

    Args:
        model: Prepared for the stage.
        spec: From `write_spec`.
    """

    def __init__(self, model: Clara, spec: TrainSpec) -> None:
        self.model, self.spec = model, spec
        self.memory: MemoryStore | None = None
        _stand_alone()
        ranks = ds.start_ranks(spec.precision)
        micro = MicroBatches.open(spec)
        micro.set(0, count_micro_batches(spec), write=False)
        self._run = Run(ds.start_engine(model, spec, 1), spec, ranks, micro)

    def compress_all(self, texts: list[str]) -> float:
        """Fill the memory store with all distinct ones of some documents, in so many seconds."""
        started = time.perf_counter()
        assert self.spec.memory is not None
        self.memory = build_memory(
            self.model, texts, self.spec.memory, checkpoint_hash=compressor_hash(self.model)
        )
        return time.perf_counter() - started

    def step(self, rows: list[Row]) -> StepResult:
        """One optimizer step."""
        self._run.engine.train()
        result = StepResult()
        make = partial(make_batch, model=self.model, spec=self.spec, step=0, memory=self.memory)

        def make_counted(part: list[Row]) -> dict[str, Tensor]:
            batch = make(part)
            for name, tensor in batch.items():
                if name.endswith("_mask"):
                    result.count(tensor)
            result.labelled += int((batch["labels"][:, 1:] != IGNORED).sum())
            return batch

        norm, sums = run_step(
            self._run, rows, make_counted, step=0, seed=0, is_bad=lambda loss: False
        )
        result.documents = sum(len(row["docs"]) for row in rows)
        result.lm_loss, result.mse_loss = sums["lm_loss"], sums["mse_loss"]
        result.norm = math.nan if norm is None else norm
        return result


def choose_steps(spec: TrainSpec, count: int) -> list[list[Row]]:
    """The rows of some steps, evenly spread over the first epoch as the trainer would run it."""
    dataset = Dataset(spec)
    number = min(count, dataset.num_steps)
    return [dataset.batch(i * dataset.num_steps // number) for i in range(number)]


def heaviest_step(model: Clara, spec: TrainSpec, steps: list[list[Row]]) -> list[Row]:
    """The step with the largest micro-batch, in tokens with padding."""

    def largest(rows: list[Row]) -> int:
        size = int(spec.training.micro_batch_size)
        parts = [rows[i : i + size] for i in range(0, len(rows), size)]
        return max(_tokens(model, spec.stage, part) for part in parts)

    return max(steps, key=largest)


def _tokens(model: Clara, stage: str, rows: list[Row]) -> int:
    if stage == "stage3":
        # Candidates weigh the same in every step: they are padded to L, or not read at all.
        rows = [row | {"docs": row["docs"][: model.config.generation_top_k]} for row in rows]
    batch = collate(rows, model.tokenizer, model.config, stage=stage, generator_seed=0)
    left_out = "enc_attention_mask" if stage == "stage3" else ""
    masks = [name for name in batch if name.endswith("_mask") and name != left_out]
    return sum(batch[name].numel() for name in masks)


def _stand_alone() -> None:
    """Describe a process group of this process alone."""
    place = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_PORT": 0}
    for name, value in (place | {"MASTER_ADDR": "127.0.0.1"}).items():
        os.environ.setdefault(name, str(value))
