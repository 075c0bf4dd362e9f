"""The commands that go on where a flow run ended."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def continuing_command(flow: str, parameters: Mapping[str, Any]) -> str:
    """What to type to go on with a flow; not by force, which would do again what is finished.

    Args:
        flow: Its name.
        parameters: Of the run that ended.
    """
    words = {"pipeline": "run", "sweep": "run"}.get(flow, flow.replace("train-", "train "))
    options = ["--downstream"] if parameters.get("downstream") else []
    sets = [word for override in parameters.get("overrides") or () for word in ("--set", override)]
    place = str(parameters.get("config", ""))
    return f"clara {words} {shlex.join([*options, *sets, place])}".strip()


def deployment_command(flow: str, parameters: Mapping[str, Any]) -> str:
    """The same as a run of the flow's deployment.

    Args:
        flow: Its name.
        parameters: Of the run that ended.
    """
    sends = "execution.dispatch=deployments" in (parameters.get("overrides") or ())
    name = "pipeline-dispatched" if flow == "pipeline" and sends else flow
    own = {key: value for key, value in parameters.items() if key != "force"}
    return f"prefect deployment run {flow}/{name} --params {shlex.quote(json.dumps(own))}"
