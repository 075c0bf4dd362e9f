"""How many examples fit in memory at once: found by trying, remembered for a run that continues."""

from __future__ import annotations

import gc
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from clara_model.errors import ClaraError
from clara_model.training.spec import TrainSpec

log = logging.getLogger(__name__)

T = TypeVar("T")

_FILE = "micro_batch.json"
_CONDITIONS = ("num_processes", "zero_stage", "offload", "gradient_checkpointing", "compile",
               "loss_chunk")  # fmt: skip
# Of torch's allocators that raise a plain RuntimeError.
_MESSAGES = ("not enough memory", "DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
# Activations of one token in one layer, in numbers: what a backward pass keeps of the residual
# stream, attention and LoRA's inputs, and of the feed-forward part. Rounded up.
_HIDDEN_COPIES, _INNER_COPIES = 24, 6
_SHARE_OF_MEMORY = 0.5  # of what is free, for activations


@dataclass
class MicroBatches:
    """Into how many micro-batches a rank cuts its share of a step's batch, from which step on.

    The number of a step is kept even if later steps need another: a run that continues then cuts
    every step as the run before it did, and gets the same weights.

    Args:
        path: Where it is kept.
        identity: Of the training run and all that takes or saves memory; what was found under
            another one is not used.
        found: (first step, number), by step.
    """

    path: Path
    identity: str
    found: list[tuple[int, int]]

    @classmethod
    def open(cls, spec: TrainSpec) -> MicroBatches:
        """What an earlier try of this run found; nothing where there was none."""
        path, identity = spec.work / _FILE, _identity(spec)
        if path.is_file():
            try:
                state = json.loads(path.read_text(encoding="utf-8"))
                found = [(int(step), int(number)) for step, number in state["found"]]
                if state["identity"] == identity:
                    return cls(path, identity, found)
            except (ValueError, KeyError, TypeError):
                log.warning("%s is damaged; what fits into memory is found anew", path)
        return cls(path, identity, [])

    def at(self, step: int) -> int | None:
        """The number of a step; None where nothing was found yet."""
        return next((number for first, number in reversed(self.found) if first <= step), None)

    def set(self, step: int, number: int, *, write: bool) -> None:
        """Use a number from a step on, and remember it on the disk where this rank writes."""
        self.found = [entry for entry in self.found if entry[0] < step] + [(step, number)]
        if not write:
            return
        partial = self.path.with_name(f".{self.path.name}.tmp")
        state = {"identity": self.identity, "found": self.found}
        partial.write_text(json.dumps(state) + "\n", encoding="utf-8")
        os.replace(partial, self.path)


def halve_until_it_fits(
    attempt: Callable[[int], T], number: int, most: int, *, where: str
) -> tuple[T, int]:
    """Try with ever more, ever smaller micro-batches until memory suffices.

    Args:
        attempt: What needs the memory; called with the number of micro-batches.
        number: The first number.
        most: The number at which each holds a single example.
        where: What is tried, for the log and the error.

    Returns:
        What the attempt gave, and the number of micro-batches.

    Raises:
        ClaraError: If not even one example fits.
    """
    while True:
        try:
            return attempt(number), number
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            if number >= most:
                raise ClaraError(
                    f"{where}: out of memory with a single example at a time; set "
                    "training.gradient_checkpointing=true, lower model.doc_max_length, or use "
                    f"training.precision=bf16 ({_first_line(err)})"
                ) from err
        # Only outside the handler is the failed attempt's memory free: its traceback held it.
        free_memory()
        log.warning(
            "%s: out of memory with %d examples at a time; trying %d",
            where, -(-most // number), -(-most // min(2 * number, most)),
        )  # fmt: skip
        number = min(2 * number, most)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU's or the machine's memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(m in str(error) for m in _MESSAGES)


def free_memory() -> None:
    """Give back what torch holds but does not use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def estimate_activations(tokens: int, layers: int, hidden: int, inner: int) -> int:
    """Bytes that a backward pass keeps for so many tokens, in float32, rounded up.

    Args:
        tokens: Of all inputs together, padding included.
        layers: Of the decoder.
        hidden: Its hidden size.
        inner: Size of its feed-forward part.
    """
    return tokens * layers * (_HIDDEN_COPIES * hidden + _INNER_COPIES * inner) * 4


def number_that_fits(needed: int, available: int, most: int) -> int:
    """Micro-batches into which work of `needed` bytes is cut to fit in the available ones."""
    budget = max(int(available * _SHARE_OF_MEMORY), 1)
    return min(max(-(-needed // budget), 1), most)


def available_memory(spec: TrainSpec) -> int:
    """Bytes of main memory that a rank on this machine may still use."""
    import psutil

    return int(psutil.virtual_memory().available) // spec.ranks_per_node


def _identity(spec: TrainSpec) -> str:
    conditions = [getattr(spec, name) for name in _CONDITIONS]
    return json.dumps([spec.identity, spec.training.micro_batch_size, *conditions])


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
