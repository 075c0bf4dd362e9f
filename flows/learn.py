"""The learning proof as a flow, and from the terminal."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.runtime import deployment
from rich.console import Console
from rich.table import Table

from configs.learning import LearningConfig
from configs.load import load_settings
from flows.artifacts import mlflow_link, publish_pages, publish_progress
from flows.identity import share_run_id
from flows.parameters import Config, Overrides, pipeline_flow
from tasks.learning.learn import Proof
from tasks.learning.page import tell_interval, tell_met
from tasks.learning.record import record_proof
from tasks.learning.task import learn_task

PAGE = Path("docs/learning.md")


@pipeline_flow("learn")
def learn(
    config: Config = "configs/learn.yaml",
    overrides: Overrides = (),
    out: str | None = str(PAGE),
    only: str | None = None,
) -> Proof:
    """Pretrain small decoders, train the stages, ask about unseen entities, write the page."""
    settings = load_settings(config, overrides, LearningConfig)
    settings.workspace.mkdir(parents=True, exist_ok=True)
    with publish_progress("learn"):
        proof = learn_task(settings, _command(config, overrides), Path(out) if out else None, only)
    tracker = record_proof(settings, proof)
    share_run_id(tracker)
    link = mlflow_link(tracker.config, tracker)
    publish_pages("learn", proof_markdown(proof, link), proof_table(proof), "targets", link)
    if deployment.id:  # there is nobody who would look at the table
        proof.outcome.check()
    return proof


def proof_markdown(proof: Proof, link: str) -> str:
    """What was asked for and reached, and what became of the jobs."""
    jobs = proof.summary["jobs"]
    lines = [
        f"# {proof.summary['title']}", "",
        f"{jobs['done']} of {jobs['planned']} jobs are done; the whole page: `{proof.page}`", "",
        "| | what | asked for | reached | |", "|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {' | '.join(map(str, row.values()))} |" for row in proof_table(proof)]
    if proof.outcome.failed:
        lines += ["", f"Failed: {', '.join(proof.outcome.failed)}. The same run continues."]
    if proof.outcome.skipped:
        lines += ["", f"Not done, as they need it: {', '.join(proof.outcome.skipped)}."]
    return "\n".join([*lines, "", f"[MLflow run]({link})"])


def proof_table(proof: Proof) -> list[dict[str, Any]]:
    """One row a target."""
    return [
        {
            "target": row["number"],
            "what": row["what"],
            "asked for": row["asked"],
            "reached": tell_interval(row["interval"]),
            "met": tell_met(row["met"], row["interval"]).strip("*"),
        }
        for row in proof.summary["targets"]
    ]


def prove_learning(
    config: Path, overrides: Sequence[str], *, out: Path | None, only: str | None, as_json: bool
) -> None:
    """Run the flow and show what was reached.

    Raises:
        LaunchError: If a job failed; after the table of what was reached without it.
    """
    load_settings(config, overrides, LearningConfig)  # a mistake is told before Prefect starts
    if out is None and only is None:
        out = PAGE
    proof = learn(str(config), list(overrides), str(out) if out else None, only)
    _print_targets(Console(stderr=as_json), proof)
    if as_json:
        sys.stdout.write(json.dumps(proof.summary, ensure_ascii=False) + "\n")
    proof.outcome.check()


def _command(config: str, overrides: Sequence[str]) -> str:
    words = ["clara", "learn", config]
    for override in overrides:
        words += ["--set", override]
    return shlex.join(words)


def _print_targets(console: Console, proof: Proof) -> None:
    table = Table(title=proof.summary["title"])
    for column in ("", "what", "asked for", "reached", ""):
        table.add_column(column)
    for row in proof_table(proof):
        table.add_row(*map(str, row.values()))
    console.print(table)
    console.print(f"The whole page: {proof.page}")
