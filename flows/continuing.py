"""The command that goes on where a flow run ended."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def continuing_command(flow: str, parameters: Mapping[str, Any]) -> str:
    """What to type to go on with a flow.

    Args:
        flow: Its name.
        parameters: Of the run that ended.
    """
    words = {"pipeline": "run", "sweep": "run"}.get(flow, flow.replace("train-", "train "))
    sets = [word for override in parameters.get("overrides") or () for word in ("--set", override)]
    return f"clara {words} {shlex.join([*sets, str(parameters.get('config', ''))])}".strip()
