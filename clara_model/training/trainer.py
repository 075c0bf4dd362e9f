"""The training loop, one for all stages and any number of ranks."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import torch

from clara_model.errors import ClaraError
from clara_model.memory import MemoryStore
from clara_model.training import checkpoint
from clara_model.training import engine as ds
from clara_model.training.dataset import Dataset, count_micro_batches, split_batch
from clara_model.training.engine import Ranks
from clara_model.training.metrics import Line, MetricsLog
from clara_model.training.spec import TrainSpec
from clara_model.training.stages import load_model, make_batch, open_memory
from clara_model.training.step import run_step

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)

_MAX_BAD_STEPS = 3  # in a row


class Trainer:
    """Trains one stage from its start, or from where it was cut off, to its end.

    Args:
        spec: What to train.
        ranks: This process among the others.
    """

    def __init__(self, spec: TrainSpec, ranks: Ranks) -> None:
        self.spec, self.ranks = spec, ranks
        for folder in (spec.work, spec.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.num_micro = count_micro_batches(spec)
        self.dataset = Dataset(spec)
        self.model: Clara = load_model(spec, ranks)
        self.memory: MemoryStore | None = open_memory(self.model, spec, self.dataset, ranks)
        self.engine: DeepSpeedEngine = ds.start_engine(self.model, spec, self.num_micro)
        self.step, self.skipped, self.bad_in_row = 0, 0, 0

    def train(self) -> None:
        """Run all steps that are left, then write the trained checkpoint.

        Raises:
            ClaraError: If the loss was not finite three steps in a row; names the step.
        """
        self._resume()
        metrics = MetricsLog(self.spec.metrics_path, self.step) if self.ranks.is_first else None
        self.engine.train()
        while self.step < self.dataset.num_steps:
            line = self._run_step()
            self.step += 1
            if metrics is not None:
                metrics.write(line)
            if self.step % self.spec.training.checkpoint_every == 0:
                self._save_progress()
        if metrics is not None:
            metrics.close()
        self._save_model()

    def _run_step(self) -> Line:
        started = time.monotonic()
        training = self.spec.training
        # Dropout is drawn from the step's own seed: a resumed run draws what an unbroken one did.
        torch.manual_seed((training.seed * 1_000_003 + self.step) * 4096 + self.ranks.rank)
        rate = ds.learning_rate(training, self.step, self.dataset.num_steps)
        ds.set_learning_rate(self.engine, rate)
        rows = self.dataset.batch(self.step)
        parts = split_batch(rows, self.num_micro, self.ranks.rank, self.ranks.count)
        batches = [
            make_batch(p, self.model, self.spec, step=self.step, memory=self.memory) for p in parts
        ]
        norm, sums = run_step(self.engine, self.spec, self.ranks, parts, batches)
        means = self._means(sums.over_ranks(self.ranks))
        self._judge(means["loss"], norm is not None)
        seconds = time.monotonic() - started
        tokens = means.pop("tokens")
        return {
            "step": self.step + 1,
            "steps": self.dataset.num_steps,
            **means,
            "learning_rate": rate,
            "grad_norm": norm,
            "examples_per_s": round(len(rows) / seconds, 2),
            "tokens_per_s": round(tokens / seconds, 1),
            "skipped": self.skipped,
        }

    def _means(self, sums: dict[str, float]) -> Line:
        line: Line = {"loss": sums["lm_loss"], "lm_loss": sums["lm_loss"]}
        if self.spec.stage != "stage3":
            line["mse_loss"] = sums["mse_loss"]
            line["loss"] += self.spec.training.mse_weight * sums["mse_loss"]
        elif sums["asked"]:
            line["recall_at_1"] = sums["recall_at_1"] / sums["asked"]
            line["recall_at_k"] = sums["recall_at_k"] / sums["asked"]
        return line | {"tokens": sums["tokens"]}

    def _judge(self, loss: float, applied: bool) -> None:
        """Count steps that were left out; three in a row end the run."""
        self.skipped += not applied
        # Half precision looks for its loss scale by overflowing; only a bad loss is bad there.
        is_bad = not math.isfinite(loss) or (not applied and self.spec.precision != "fp16")
        self.bad_in_row = self.bad_in_row + 1 if is_bad else 0
        if not is_bad:
            return
        log.warning("step %d left out: loss or gradients are not finite", self.step + 1)
        if self.bad_in_row >= _MAX_BAD_STEPS:
            raise ClaraError(
                f"{self.spec.stage}: loss or gradients were not finite in {_MAX_BAD_STEPS} steps "
                f"in a row, the last being step {self.step + 1} of {self.dataset.num_steps}; lower "
                f"training.{self.spec.stage}.learning_rate, or use training.precision=fp32"
            )

    def _resume(self) -> None:
        found = checkpoint.find_progress(self.spec.work, self.spec.identity)
        ds.barrier(self.ranks)
        if self.ranks.is_first:
            checkpoint.remove_stale(self.spec.work, self.spec.identity)
        if found is None:
            return
        path, progress = found
        checkpoint.restore(self.engine, path)
        self.step, self.skipped = progress.step, progress.skipped
        log.info("continuing after step %d of %d", self.step, self.dataset.num_steps)

    def _save_progress(self) -> None:
        progress = checkpoint.Progress(self.spec.identity, self.step, self.skipped)
        checkpoint.save_progress(self.engine, self.spec.work, progress, self.ranks)

    def _save_model(self) -> None:
        with ds.whole_weights(self.engine, self.model):
            if self.ranks.is_first:
                self.model.save_pretrained(self.spec.output)
                log.info("wrote %s", self.spec.output)
        ds.barrier(self.ranks)
