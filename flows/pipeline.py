"""The whole pipeline as one flow."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from configs.load import DEFAULT_CONFIG
from flows.data import caption, extract, mine, synthesize
from flows.evaluate import evaluate, index
from flows.hooks import say_what_next
from flows.run import Run, open_run
from flows.train import train_stage1, train_stage2, train_stage3
from tasks.manifests import is_current

# Each flow with the steps it is responsible for; one whose steps are all current is not started.
DATA_PARTS = (
    (extract, ("extract",)),
    (caption, ("caption",)),
    (synthesize, ("tokenizer", "passages", "synthesize")),
    (mine, ("mine",)),
)
MODEL_PARTS = (
    (train_stage1, ("base", "stage1")),
    (train_stage2, ("stage2",)),
    (train_stage3, ("stage3",)),
    (index, ("index",)),
    (evaluate, ("evaluate", "report")),
)


@flow(name="pipeline", on_failure=[say_what_next], on_crashed=[say_what_next])
def pipeline(
    config: str = str(DEFAULT_CONFIG), overrides: Sequence[str] = (), force: bool = False
) -> None:
    """Documents to a trained, evaluated and indexed model."""
    with open_run(config, overrides) as run:
        for part, steps in (*DATA_PARTS, *MODEL_PARTS):
            if force or not is_done(run, steps):
                part(config, overrides, force)


def is_done(run: Run, steps: Sequence[str]) -> bool:
    """Whether none of some steps has anything left to do."""
    return all(is_current(run.plan[name], run.workspace) for name in steps)
