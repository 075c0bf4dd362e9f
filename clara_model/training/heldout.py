"""Rows that a stage does not train on, and what their scores decide: the best step, and the end."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clara_model.errors import ConfigError
from clara_model.training.metrics import Line
from clara_model.training.spec import TrainSpec

log = logging.getLogger(__name__)

Row = dict[str, Any]

_LARGEST_PART = 5  # at most one row in so many is held out
_RECALLS = ("recall_at_1", "recall_at_k")


def hold_out(
    sources: tuple[list[Row], list[Row]], spec: TrainSpec
) -> tuple[tuple[list[Row], list[Row]], list[Row]]:
    """Take `eval_rows` rows out of the training rows, from either source as it is mixed.

    Which ones follows from their content and the seed. Rows that say the same (in stage 1: rows of
    the same document; else: of the same question and answer) are held out together or not at all.

    Args:
        sources: Rows of the documents, and of the world.
        spec: What is trained.

    Returns:
        The rows left to train on, and those held out: none if `eval_every` is 0, and at most a
        fifth of either source.
    """
    if spec.training.eval_every == 0:
        return sources, []
    documents, world = sources
    share = 0.0 if not world else spec.world_share if documents else 1.0
    wanted_world = round(spec.training.eval_rows * share)
    wanted = (spec.training.eval_rows - wanted_world, wanted_world)
    chosen: set[str] = set()
    for rows, number in zip(sources, wanted, strict=True):
        chosen |= _choose(rows, min(number, len(rows) // _LARGEST_PART), spec)
    left, out = [], []
    for rows in sources:
        left.append([row for row in rows if _content(row, spec) not in chosen])
        out += [row for row in rows if _content(row, spec) in chosen]
    if out:
        log.info("%d rows are held out for evaluation, %d are left to train on",
                 len(out), sum(map(len, left)))  # fmt: skip
    else:
        log.warning("%d rows are too few to hold any out: no evaluation, the last weights are kept",
                    sum(map(len, sources)))  # fmt: skip
    return (left[0], left[1]), out


def metric_choices(spec: TrainSpec, rows: list[Row]) -> list[str]:
    """What `best_metric` may be, with these rows held out."""
    choices = ["loss"]
    # ZeRO 3 gathers weights in step with the other ranks, and answers differ in length.
    if spec.zero_stage < 3 and (not rows or any(is_question(row) for row in rows)):
        choices += ["em", "f1"]
    if spec.stage == "stage3" and (not rows or any(row["pos_index"] for row in rows)):
        choices += _RECALLS
    return choices


def is_question(row: Row) -> bool:
    """Whether a row asks for an answer that can be scored; a paraphrase does not."""
    return row.get("data_type", "qa") == "qa" and bool(row["question"])


def check_evaluation(spec: TrainSpec, rows: list[Row]) -> None:
    """Refuse settings of the evaluation that cannot be followed.

    Raises:
        ConfigError: If they need an evaluation that there is none of, or a metric that the stage
            or its held-out rows do not have.
    """
    training, where = spec.training, f"training.{spec.stage}"
    if training.eval_every == 0:
        if training.early_stopping or training.keep == "best":
            name = "early_stopping" if training.early_stopping else "keep=best"
            raise ConfigError(
                f"{where}.{name} needs evaluations on held-out rows; set {where}.eval_every to the "
                "steps between them"
            )
        return
    choices = metric_choices(spec, rows)
    if training.best_metric not in choices:
        raise ConfigError(
            f"{where}.best_metric is {training.best_metric}, which "
            f"{_why_not(spec, training.best_metric)}; choose one of {', '.join(choices)}"
        )
    if spec.zero_stage == 3:
        log.info("under ZeRO 3 held-out rows give a loss and recall, but no answers")


@dataclass
class Standing:
    """The best evaluation so far; all of it follows from the metric lines.

    Args:
        metric: Its name, without "eval_".
        patience: Evaluations in a row without a better one that end the stage; 0: never.
        best: The best value; None before the first.
        best_step: Steps done then.
        without_better: Evaluations since.
    """

    metric: str
    patience: int
    best: float | None = None
    best_step: int = 0
    without_better: int = 0

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self.patience <= self.without_better

    def take(self, line: Line) -> bool:
        """Take note of a step; whether its evaluation is the best so far."""
        # A step without an update has the weights of another one.
        if not any(name.startswith("eval_") for name in line) or line["grad_norm"] is None:
            return False
        value = line.get(f"eval_{self.metric}")
        if value is None or not self._is_better(value):
            self.without_better += 1
            return False
        self.best, self.best_step, self.without_better = value, line["step"], 0
        return True

    def replay(self, lines: Iterable[Line]) -> None:
        """Take note of the steps of a run that continues."""
        for line in lines:
            self.take(line)

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return value == value  # not NaN
        return value < self.best if self.metric == "loss" else value > self.best


def _choose(rows: list[Row], number: int, spec: TrainSpec) -> set[str]:
    """Contents of about so many rows, never of more."""
    sizes: dict[str, int] = {}
    for row in rows:
        content = _content(row, spec)
        sizes[content] = sizes.get(content, 0) + 1
    chosen: set[str] = set()
    for content in sorted(sizes, key=lambda content: _hash(content, spec.training.seed)):
        if sizes[content] <= number:
            chosen.add(content)
            number -= sizes[content]
    return chosen


def _content(row: Row, spec: TrainSpec) -> str:
    if spec.stage == "stage1":
        return str(row["docs"][0])
    return f"{row['question']}\n{row['gold_answer']}"


def _hash(content: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{content}".encode()).hexdigest()


def _why_not(spec: TrainSpec, metric: str) -> str:
    if metric in _RECALLS:
        if spec.stage != "stage3":
            return "only stage 3 has"
        return "no held-out row has a pos_index for"
    return (
        "no run has under ZeRO 3" if spec.zero_stage == 3 else "no held-out row has a question for"
    )
