"""A sweep as one flow: the data once, then models and scores for every value of a key."""

from __future__ import annotations

from collections.abc import Sequence

from configs.load import DEFAULT_CONFIG
from flows.parameters import Config, Overrides, pipeline_flow
from flows.parts import DATA_PARTS, MODEL_PARTS
from flows.run import open_run
from tasks.base.task import base_task
from tasks.evaluation.sweep import write_sweep
from tasks.sweep import Variant, forget_results, link_shared, list_variants


@pipeline_flow("sweep")
def sweep(
    config: Config = str(DEFAULT_CONFIG), overrides: Overrides = (), force: bool = False
) -> None:
    """Data and base once; stages, index and evaluation for every value of `sweep.key`."""
    with open_run(config, overrides, force=force) as run:
        settings, ws = run.config, run.workspace
        variants = list_variants(settings, ws)
        run.run_parts(DATA_PARTS, config, overrides, force=force)
        run.step("base", lambda on_metrics: base_task(settings, ws, on_metrics))
        for variant in variants:
            link_shared(settings, ws, variant)
            if force:
                forget_results(variant)
            _run_variant(config, overrides, variant)
        write_sweep(settings, ws)


def _run_variant(config: str, overrides: Sequence[str], variant: Variant) -> None:
    own = [*overrides, *variant.overrides]
    with open_run(config, own) as run:
        run.run_parts(MODEL_PARTS, config, own)
