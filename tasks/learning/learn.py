"""The learning proof from its configuration to its page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.learning import LearningConfig
from tasks.learning.page import read_curves, write_page
from tasks.learning.plan import Plan, plan_jobs
from tasks.learning.schedule import Outcome, choose_jobs, read_result, run_jobs
from tasks.learning.summary import summarise
from tasks.leases import FolderLeases, hold_lease
from tasks.storage import Record, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proof:
    """What a run leaves.

    Args:
        summary: Everything that the page says.
        page: Where it is.
        outcome: What became of the jobs.
    """

    summary: Record
    page: Path
    outcome: Outcome


def prove(
    config: LearningConfig, *, command: str, out: Path | None = None, only: str | None = None
) -> Proof:
    """Do the jobs that are not done yet, and write summary.json and the page.

    One at a time in a workspace: another that is at it is waited for, and its results are taken.

    Args:
        config: What to run.
        command: The user's, for the page.
        out: Where the page goes; None for the workspace. With jobs that failed it goes to the
            workspace in any case, so that no page that is whole is replaced by one with gaps.
        only: Pattern of the names of jobs; they and what they need are done.
    """
    root = config.workspace
    plan = plan_jobs(config)
    jobs = choose_jobs(plan.jobs.values(), only)
    with hold_lease("learn", FolderLeases(root / "leases")):
        outcome = run_jobs(jobs, root, workers=config.workers, threads=config.threads)
        summary = summarise(config, plan, collect_results(plan, root))
        write_json(root / "summary.json", summary)
        write_json(root / "config.json", config.model_dump(mode="json"))
        page = out if out is not None and not outcome.failed else root / "learning.md"
        write_page(page, config, summary, read_curves(config, plan, root), command)
    log.info("wrote %s", page)
    return Proof(summary, page, outcome)


def collect_results(plan: Plan, root: Path) -> dict[str, Record]:
    """The results of all jobs that were done with these settings, by name."""
    found = {job.name: read_result(root, job) for job in plan.jobs.values()}
    return {name: result for name, result in found.items() if result is not None}


def summary_metrics(summary: Record, place: int) -> dict[str, float]:
    """What one seed reached, by a name for each target and rate.

    Args:
        summary: From `summarise`.
        place: Position of the seed in the configuration.
    """
    rows: Sequence[tuple[str, Record]] = [
        *((f"{row['number']} {row['what']}", row) for row in summary["targets"]),
        *((f"stage 1 EM at rate {row['rate']}", row) for row in summary["rates"]),
    ]
    return {
        name: row["seeds"][place]
        for name, row in rows
        if place < len(row["seeds"]) and row["seeds"][place] is not None
    }
