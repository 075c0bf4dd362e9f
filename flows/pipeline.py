"""The whole pipeline as one flow."""

from __future__ import annotations

from configs.load import DEFAULT_CONFIG
from flows.parameters import Config, Overrides, pipeline_flow
from flows.parts import PARTS
from flows.run import open_run


@pipeline_flow("pipeline")
def pipeline(
    config: Config = str(DEFAULT_CONFIG), overrides: Overrides = (), force: bool = False
) -> None:
    """Documents to a trained, evaluated and indexed model."""
    with open_run(config, overrides) as run:
        run.run_parts(PARTS, config, overrides, force=force)
