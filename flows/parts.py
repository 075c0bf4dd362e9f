"""The parts of the pipeline: each flow with the steps that it is responsible for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from prefect import Flow


@dataclass(frozen=True)
class Part:
    """One flow of the pipeline.

    Args:
        name: Of the flow, and of its deployment.
        steps: Steps it is responsible for, of those that a configuration asks for; where all are
            current, it is not started.
    """

    name: str
    steps: tuple[str, ...]


DATA_PARTS = (
    Part("extract", ("extract",)),
    Part("caption", ("caption",)),
    Part("synthesize", ("tokenizer", "passages", "synthesize")),
    Part("mine", ("mine", "card")),
)
MODEL_PARTS = (
    Part("train-stage1", ("base", "stage1")),
    Part("train-stage2", ("stage2",)),
    Part("train-stage3", ("remine", "stage3")),
    Part("index", ("index",)),
    Part("evaluate", ("evaluate", "report")),
)
PARTS = (*DATA_PARTS, *MODEL_PARTS)
# The pool whose workers do one thing at a time: a run that held such a place and waited for another
# there would wait for ever.
ONE_AT_A_TIME = "gpu"

_MODULES = {
    **dict.fromkeys(("extract", "caption", "synthesize", "mine"), "flows.data"),
    **dict.fromkeys(("train-stage1", "train-stage2", "train-stage3"), "flows.train"),
    **dict.fromkeys(("index", "evaluate"), "flows.evaluate"),
    "pipeline": "flows.pipeline",
    "sweep": "flows.sweep",
}


def worker_command(pool: str) -> str:
    """How to start a worker for a pool, in words to type."""
    limit = " --limit 1" if pool == ONE_AT_A_TIME else ""
    return f"prefect worker start --pool {pool}{limit}"


def load_flow(name: str) -> Flow[..., Any]:
    """A flow by its name; imported only now, for some import much."""
    flow: Flow[..., Any] = getattr(import_module(_MODULES[name]), name.replace("-", "_"))
    return flow


def parts_of(steps: Sequence[str]) -> list[Part]:
    """The parts that are responsible for any of some steps, in the pipeline's order."""
    return [part for part in PARTS if set(part.steps) & set(steps)]
