"""The training loop, one for all stages and any number of ranks."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from clara_model.errors import CheckpointError, ConfigError
from clara_model.memory import MemoryStore
from clara_model.training import checkpoint
from clara_model.training import engine as ds
from clara_model.training.dataset import Dataset, Row, count_micro_batches
from clara_model.training.engine import Ranks
from clara_model.training.evaluation import describe, evaluate
from clara_model.training.health import LossWatch
from clara_model.training.heldout import Standing, check_evaluation
from clara_model.training.intact import find_damage
from clara_model.training.metrics import Line, MetricsLog, read_metrics
from clara_model.training.micro_batch import MicroBatches
from clara_model.training.pace import Pace, gpu_memory
from clara_model.training.probe import starting_number
from clara_model.training.process import Stopped, StopRequest
from clara_model.training.progress import (
    METRICS,
    Progress,
    describe_change,
    find_start,
    finished,
    remove_stale,
)
from clara_model.training.space import require_room, require_room_to_save
from clara_model.training.spec import TrainSpec
from clara_model.training.stages import load_model, make_batch, open_memory
from clara_model.training.step import REQUESTS, Run, accumulates_in_engine, run_step

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)


class Trainer:
    """Trains one stage from its start, or from where it was cut off, to its end.

    Args:
        spec: What to train.
        ranks: This process among the others.
        stop: Asks to end before the last step; None if nobody will.

    Raises:
        ConfigError: If a run with other settings was cut off here, and may not be touched.
        ClaraError: If the disk has too little room.
    """

    def __init__(self, spec: TrainSpec, ranks: Ranks, stop: StopRequest | None = None) -> None:
        self.spec, self.ranks, self.stop = spec, ranks, stop or StopRequest()
        for folder in (spec.work, spec.logs):
            folder.mkdir(parents=True, exist_ok=True)
        number = count_micro_batches(spec)
        self.micro = MicroBatches.open(spec)
        self.start = find_start(spec)
        self.dataset = Dataset(spec)
        check_evaluation(spec, self.dataset.held_out)
        self.standing = Standing(spec.training.best_metric, spec.training.early_stopping)
        self.is_best = False  # whether the last step's evaluation was the best so far
        self.model: Clara = load_model(spec, ranks)
        if ranks.is_first:
            require_room(self.model, spec, self.dataset)
        self.memory: MemoryStore | None = open_memory(self.model, spec, self.dataset, ranks)
        if self.start is not None and not self.start.is_exact:
            checkpoint.load_weights(self.model, self.start.path)
        # Elsewhere than under ZeRO 3 the engine sees one backward pass a step.
        number = (self.micro.at(0) or number) if accumulates_in_engine(spec) else 1
        self.engine: DeepSpeedEngine = ds.start_engine(self.model, spec, number)
        self.step, self.skipped = 0, 0
        self.watch = LossWatch(spec, vocab_size=len(self.model.tokenizer))
        self.requests: set[str] = set()  # what ranks asked for in the running step
        self.saved_at, self.saved_step = time.monotonic(), 0

    def train(self) -> None:
        """Run all steps that are left, then write the trained checkpoint.

        Raises:
            ClaraError: If the loss was not finite, or exploded, three steps in a row.
            Stopped: If it was asked to; after a last save.
        """
        self.stop.leave_to_loop()
        history = self._resume()
        metrics = None
        if self.ranks.is_first:
            metrics = MetricsLog(self.spec.metrics_path, self.step, history)
        self.engine.train()
        self._start_micro_batches()
        pace = Pace(self.dataset.num_steps)
        while self.step < self.dataset.num_steps and not self.standing.is_over:
            line = self._run_step()
            self.step += 1
            line |= self._evaluate(line)
            line["eta_s"] = round(pace.seconds_left(self.step), 1)
            line |= gpu_memory(self.ranks.device)
            if metrics is not None:
                metrics.write(line)
            self._save_if_due()
            if "stop" in self.requests and self.step < self.dataset.num_steps:
                raise Stopped(f"after step {self.step} of {self.dataset.num_steps}")
        if metrics is not None:
            metrics.close()
        self._save_model()

    def _run_step(self) -> Line:
        started = time.monotonic()
        training = self.spec.training
        rate = ds.learning_rate(training, self.step, self.dataset.num_steps)
        ds.set_learning_rate(self.engine, rate)
        rows = self.dataset.batch(self.step)
        # Dropout is drawn from the step's own seed: a resumed run draws what an unbroken one did.
        norm, totals = run_step(
            Run(self.engine, self.spec, self.ranks, self.micro),
            rows,
            self._make_batch,
            step=self.step,
            seed=(training.seed * 1_000_003 + self.step) * 4096 + self.ranks.rank,
            is_bad=self.watch.is_bad,
            requests=self._own_requests(),
        )
        self.requests = {name for name in REQUESTS if totals[name]}
        means = self._means(totals)
        self.skipped += norm is None
        self.watch.note(self.step, means["lm_loss"], was_applied=norm is not None)
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

    def _make_batch(self, rows: list[Row]) -> dict[str, Tensor]:
        return make_batch(rows, self.model, self.spec, step=self.step, memory=self.memory)

    def _evaluate(self, line: Line) -> Line:
        """What the metric line of an evaluation adds; nothing after most steps."""
        training, rows = self.spec.training, self.dataset.held_out
        is_last = self.step == self.dataset.num_steps
        self.is_best = False
        # The best weights are those of a checkpoint, and in a bad streak none is written.
        if not rows or self.watch.bad_in_row or (self.step % training.eval_every and not is_last):
            return {}
        size = -(-training.batch_size // self.ranks.count // (self.micro.at(self.step) or 1))
        run = Run(self.engine, self.spec, self.ranks, self.micro)
        collate = partial(make_batch, model=self.model, spec=self.spec, step=0, memory=self.memory)
        scores = evaluate(run, rows, collate, memory=self.memory, size=size)
        self.is_best = self.standing.take(line | scores)
        log.info("step %d, held out: %s%s", self.step, describe(scores),
                 ", the best so far" if self.is_best else "")  # fmt: skip
        if self.standing.is_over:
            log.info("stopped early after step %d: eval_%s was best after step %d",
                     self.step, training.best_metric, self.standing.best_step)  # fmt: skip
            scores["stopped_early_at"] = self.step
        return scores

    def _start_micro_batches(self) -> None:
        number = self.micro.at(self.step)
        if number is None:
            number = starting_number(
                self.model, self.spec, self.ranks, self.dataset, self._make_batch
            )
            self.micro.set(self.step, number, write=self.ranks.is_first)
        per_rank = self.spec.training.batch_size // self.ranks.count
        log.info("micro-batch: %d examples, %d times a step", -(-per_rank // number), number)

    def _means(self, sums: dict[str, float]) -> Line:
        line: Line = {"loss": sums["lm_loss"], "lm_loss": sums["lm_loss"]}
        if self.spec.stage != "stage3":
            line["mse_loss"] = sums["mse_loss"]
            line["loss"] += self.spec.training.mse_weight * sums["mse_loss"]
        elif sums["asked"]:
            line["recall_at_1"] = sums["recall_at_1"] / sums["asked"]
            line["recall_at_k"] = sums["recall_at_k"] / sums["asked"]
        # Share of padding among all that is computed.
        line["padding"] = round(1 - sums["tokens"] / max(sums["places"], 1.0), 4)
        return line | {"tokens": sums["tokens"]}

    def _own_requests(self) -> list[str]:
        minutes = (time.monotonic() - self.saved_at) / 60
        # One clock decides for all ranks.
        wants_save = self.ranks.is_first and minutes >= self.spec.training.checkpoint_minutes
        return ["stop"] * self.stop.is_made + ["save"] * wants_save

    def _resume(self) -> list[Line]:
        """Continue from what was found; returns the metric lines up to there."""
        ds.barrier(self.ranks)  # all have looked
        if self.ranks.is_first:
            remove_stale(self.spec, self.start)
        if self.start is None:
            return []
        progress = self.start.progress
        if progress.step > self.dataset.num_steps:
            raise ConfigError(
                f"{self.start.path} is further than the {self.dataset.num_steps} steps of "
                f"{self.spec.stage} now; add `--set training.resume=restart` to discard it"
            )
        if self.start.is_exact:
            checkpoint.restore(self.engine, self.start.path)
        else:
            checkpoint.load_weights(self.model, self.start.path, self.engine)
            log.warning("%s", describe_change(self.start, self.spec))
        self.step, self.skipped = progress.step, progress.skipped
        self.saved_step = progress.step
        history = read_metrics(self.start.path / METRICS)
        self.watch.remember(history)
        if progress.identity == self.spec.identity:
            self.standing.replay(history)
        log.info("continuing after step %d of %d", self.step, self.dataset.num_steps)
        return history

    def _save_if_due(self) -> None:
        """Save where steps or minutes or a request to stop say so, but nothing of a bad streak."""
        behind = self.step // self.spec.training.checkpoint_every > (
            self.saved_step // self.spec.training.checkpoint_every
        )
        is_due = behind or self.requests or self.is_best
        if is_due and self.step > self.saved_step and not self.watch.bad_in_row:
            self._save_progress()

    def _save_progress(self) -> None:
        if self.ranks.is_first:
            require_room_to_save(self.model, self.spec)
        spec = self.spec
        progress = Progress(
            spec.identity, self.step, self.skipped, spec.layout, spec.settings, self.is_best
        )
        checkpoint.save_progress(self.engine, spec, progress, self.ranks)
        self.saved_at, self.saved_step = time.monotonic(), self.step

    def _find_best(self) -> Path | None:
        """The checkpoint whose weights the stage ends with; None for the last weights."""
        step = self.standing.best_step
        if self.spec.training.keep != "best" or step in (0, self.step):
            return None
        log.info("the stage ends with the weights of step %d", step)
        found = (path for path, progress in finished(self.spec.work) if progress.step == step)
        paths = [path for path in found if find_damage(path) is None]
        if not paths:
            raise CheckpointError(
                f"{self.spec.work} no longer has a whole checkpoint of step {step}, whose weights "
                "were the best; add `--set training.resume=restart`, or set "
                f"training.{self.spec.stage}.keep=last"
            )
        return paths[0]

    def _save_model(self) -> None:
        best = self._find_best()
        if best is not None:
            checkpoint.load_weights(self.model, best)
        with ds.whole_weights(self.engine, self.model):
            if self.ranks.is_first:
                self.model.save_pretrained(self.spec.output)
                log.info("wrote %s", self.spec.output)
        ds.barrier(self.ranks)
