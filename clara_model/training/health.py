"""When a step's loss is so far from the ones before that its update must not be made."""

from __future__ import annotations

import logging
import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence

from clara_model.errors import ClaraError
from clara_model.training.metrics import Line
from clara_model.training.progress import finished
from clara_model.training.spec import TrainSpec

log = logging.getLogger(__name__)

HISTORY = 50  # losses of applied steps to compare with
_LEAST_HISTORY = 20
_TIMES_MEDIAN = 3.0
_ABOVE_MAXIMUM = 1.0  # nats
_MAX_BAD_STEPS = 3  # in a row
# In a row; each halves fp16's loss scale, which starts at 2^16 and must stay above 1.
_MAX_OVERFLOWS = 16


class LossWatch:
    """Tells bad steps from good ones, and ends a run of bad ones.

    Args:
        spec: The training run.
        vocab_size: Tokens to guess among.
    """

    def __init__(self, spec: TrainSpec, vocab_size: int) -> None:
        self.bad_in_row = 0
        self._overflows = 0  # in a row
        self._spec, self._vocab_size = spec, vocab_size
        self._losses: deque[float] = deque(maxlen=HISTORY)

    def remember(self, lines: Iterable[Line]) -> None:
        """Take up the applied steps of a run that continues."""
        self._losses.extend(line["lm_loss"] for line in lines if line["grad_norm"] is not None)

    def is_bad(self, loss: float) -> bool:
        """Whether a step's cross entropy (of all ranks) is not finite, or exploding."""
        return not loss <= highest_healthy_loss(self._losses, self._vocab_size)

    def note(self, step: int, loss: float, *, was_applied: bool) -> None:
        """Take note of a step.

        Raises:
            ClaraError: If it is the third bad one in a row, or the sixteenth in fp16 whose
                gradients are not finite.
        """
        if was_applied:
            self._losses.append(loss)
        # Half precision looks for its loss scale by overflowing; only a bad loss is bad there.
        is_bad = self.is_bad(loss) or (not was_applied and self._spec.precision != "fp16")
        self.bad_in_row = self.bad_in_row + 1 if is_bad else 0
        self._overflows = 0 if was_applied else self._overflows + 1
        if self._overflows >= _MAX_OVERFLOWS:
            raise ClaraError(
                f"{self._spec.stage}: gradients were not finite in {_MAX_OVERFLOWS} steps in a "
                f"row, the last being step {step + 1}, whatever the loss scale; use "
                "training.precision=bf16 or fp32, with `--set training.resume=continue` to go on "
                "from the last checkpoint"
            )
        if not is_bad:
            return
        what = "loss or gradients are not finite"
        if math.isfinite(loss) and self.is_bad(loss):
            what = f"its loss of {loss:.3g} explodes"
        log.warning("step %d left out: %s", step + 1, what)
        if self.bad_in_row >= _MAX_BAD_STEPS:
            raise ClaraError(self._explain(step))

    def _explain(self, step: int) -> str:
        found = finished(self._spec.work)
        good = f"step {found[-1][1].step} is the last good checkpoint" if found else (
            "there is no checkpoint from before"
        )  # fmt: skip
        return (
            f"{self._spec.stage}: the loss was not finite, or exploded, in {_MAX_BAD_STEPS} steps "
            f"in a row, the last being step {step + 1}; {good}. Lower "
            f"training.{self._spec.stage}.learning_rate or use training.precision=fp32, with "
            "`--set training.resume=continue` to go on from there or `=restart` to begin anew"
        )


def highest_healthy_loss(losses: Sequence[float], vocab_size: int) -> float:
    """The loss above which a step counts as exploding.

    All must hold, because each alone happens in healthy runs: three times the recent median (a run
    near zero has such steps), a nat above the recent maximum (kinds of rows differ), and half of
    what guessing evenly would lose (rows that were learned give way to rows that were not).

    Args:
        losses: Cross entropy of recent applied steps, in nats, oldest first.
        vocab_size: Tokens to guess among.

    Returns:
        That loss; infinite while there are too few to compare with.
    """
    recent = list(losses)[-HISTORY:]
    if len(recent) < _LEAST_HISTORY:
        return math.inf
    return max(
        _TIMES_MEDIAN * statistics.median(recent),
        max(recent) + _ABOVE_MAXIMUM,
        math.log(vocab_size) / 2,
    )
