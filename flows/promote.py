"""`clara promote`: make a registered version the champion, if it is shown to be better."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from configs.load import load_config
from tasks.tracking.promotion import Metric, promote
from tasks.travel.mirror import open_workspace


def promote_version(
    version: str | None,
    config: Path,
    overrides: Sequence[str],
    *,
    metric: Metric,
    setting: str,
    force: bool,
    as_json: bool,
) -> int:
    """Print what was decided and why; returns 0 if the version is the champion now, else 1."""
    settings = load_config(config, overrides)
    decision = promote(
        settings, open_workspace(settings), version,
        metric=metric, setting=setting, force=force,
    )  # fmt: skip
    if as_json:
        found = asdict(decision)
        if decision.comparison is not None:
            found["comparison"] = decision.comparison._asdict()
        sys.stdout.write(json.dumps(found) + "\n")
        return 0 if decision.promoted else 1
    console = Console()
    name = settings.tracking.registered_model
    if decision.promoted:
        console.print(
            f"{name} version {decision.version} is the champion: {decision.reason}.",
            highlight=False, soft_wrap=True, markup=False,
        )  # fmt: skip
        return 0
    console.print(
        f"{name} version {decision.champion} stays the champion; of version {decision.version}, "
        f"{decision.reason}.\nTo make it the champion all the same: --force.",
        highlight=False, soft_wrap=True, markup=False,
    )  # fmt: skip
    return 1
