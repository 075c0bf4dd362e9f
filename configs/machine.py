"""Settings of the machine that a worker runs on: how fast it works, not what comes out."""

from __future__ import annotations

import os
import re

from clara_model.errors import ConfigError

VARIABLE = "CLARA_MACHINE_SETTINGS"
# What no step's result depends on, but for rounding and which units dropout drops.
_ALLOWED = re.compile(
    r"training\.stage[123]\.(micro_batch_size|checkpoint_minutes|checkpoint_every)"
    r"|training\.(gradient_checkpointing|offload|zero_stage|num_processes|threads|loss_chunk"
    r"|compile|keep_checkpoints)"
    r"|model\.attention|execution\.\w+|extraction\.(memory_mb|artifacts_path)"
)


def machine_settings() -> list[str]:
    """Overrides from CLARA_MACHINE_SETTINGS, `section.key=value` separated by spaces.

    They stand before those of a command or a flow run, which therefore win.

    Raises:
        ConfigError: If one would change results: those must be the same for all workers.
    """
    overrides = os.environ.get(VARIABLE, "").split()
    for override in overrides:
        key = override.partition("=")[0]
        if not _ALLOWED.fullmatch(key):
            raise ConfigError(
                f"{VARIABLE}: {key} is no setting of a machine (it decides results, or there is no "
                "such key); give it in the configuration, or with --set"
            )
    return overrides
