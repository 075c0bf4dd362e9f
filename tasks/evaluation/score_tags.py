"""A stage's scores as tags of its version in the model registry."""

from __future__ import annotations

import json

from tasks.workspace import Workspace

_METRICS = ("em", "recall@1")


def score_tags(workspace: Workspace, stage: str) -> dict[str, str]:
    """What the last evaluation of the workspace says of a stage: value, interval and n.

    Returns:
        Tags such as `clara.score.world.oracle.em`: "0.93 [0.90, 0.96] n=200".
    """
    path = workspace.evaluation / "summary.json"
    if not path.is_file():
        return {}
    summary = json.loads(path.read_text(encoding="utf-8"))
    leads = {place["name"]: place.get("lead") for place in summary.get("benchmarks", ())}
    tags = {}
    for row in (*summary.get("scores", ()), *summary.get("retrieval", ())):
        if row["system"] != stage:
            continue
        for name in dict.fromkeys((*_METRICS, leads.get(row["benchmark"]))):
            if metric := row["metrics"].get(name):
                key = f"clara.score.{row['benchmark']}.{row['setting']}.{mlflow_name(str(name))}"
                words = f"{metric['value']:.4g} [{metric['low']:.4g}, {metric['high']:.4g}]"
                tags[key] = f"{words} n={row['n']}"
    return tags


def mlflow_name(metric: str) -> str:
    """A metric's name with signs only that MLflow takes, the same in runs and tags."""
    return metric.replace("@", "_at_")
