"""What a flow shows on its Prefect page: progress while it works, then a summary with a link."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from tasks.manifests import Manifest
from tasks.progress import watch_progress

if TYPE_CHECKING:
    from configs.schema import PipelineConfig
    from tasks.tracking import Tracker

log = logging.getLogger(__name__)

_EVERY_S = 10.0
# Where `clara up` and `clara ui` serve a workspace's own MLflow database unless told otherwise.
_MLFLOW_PAGE = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Outcome:
    """What became of a step in this flow run."""

    state: str
    manifest: Manifest | None


@contextmanager
def publish_progress(flow: str, every_s: float = _EVERY_S) -> Iterator[None]:
    """Keep a progress artifact up to date, from a thread of its own, while the block works.

    What is over before `every_s` seconds have passed gets none.
    """
    latest: list[tuple[str, int, int]] = []
    ended = threading.Event()

    def observe(description: str, done: int, total: int) -> None:
        latest[:] = [(description, done, total)]

    def publish() -> None:
        artifact: UUID | None = None
        shown: tuple[str, int, int] | None = None
        while not ended.wait(every_s):
            if latest and latest[0] != shown:
                shown = latest[0]
                artifact = _show(flow, shown, artifact)
        if artifact is not None and latest:
            _show(flow, latest[0], artifact)

    # The copy holds the flow run, so that the artifact belongs to it.
    thread = threading.Thread(target=copy_context().run, args=(publish,), daemon=True)
    thread.start()
    try:
        with watch_progress(observe):
            yield
    finally:
        ended.set()
        thread.join(timeout=every_s)


def _show(flow: str, progress: tuple[str, int, int], artifact: UUID | None) -> UUID | None:
    description, done, total = progress
    text = f"{description}: {done} of {total}, {time.strftime('%H:%M:%S')}"
    share = min(100.0 * done / max(total, 1), 100.0)
    try:
        if artifact is None:
            return cast(UUID, create_progress_artifact(share, f"clara-{flow}-progress", text))
        update_progress_artifact(artifact, share, text)
    except Exception as err:  # noqa: BLE001 - a page that is not up to date is no reason to stop
        log.debug("progress was not shown: %s: %s", type(err).__name__, err)
    return artifact


def publish_summary(
    flow: str, config: PipelineConfig, tracker: Tracker, outcomes: Mapping[str, Outcome]
) -> None:
    """A summary in words, a table of counts, and a link to the MLflow run."""
    link = mlflow_link(config, tracker)
    page = summary_markdown(flow, outcomes, link)
    publish_pages(flow, page, summary_table(outcomes), "counts of the steps", link)


def publish_pages(flow: str, page: str, table: list[dict[str, Any]], title: str, link: str) -> None:
    """Put a flow's summary, its table and the link to its MLflow run on its Prefect page.

    Args:
        flow: Its name.
        page: The summary, in Markdown.
        table: One mapping a row.
        title: What the table holds, in words.
        link: Address of the MLflow run.
    """
    try:
        create_markdown_artifact(page, f"clara-{flow}", f"what {flow} did")
        create_table_artifact(table, f"clara-{flow}-counts", title)
        create_link_artifact(link, "MLflow run", f"clara-{flow}-mlflow", "metrics and settings")
    except Exception as err:  # noqa: BLE001 - the work is done; a page about it is no reason to fail
        log.warning("the summary was not shown: %s: %s", type(err).__name__, err)


def summary_markdown(flow: str, outcomes: Mapping[str, Outcome], link: str) -> str:
    """Steps with what became of them, seconds and code version."""
    lines = [
        f"# {flow}",
        "",
        "| step | state | seconds | finished | code |",
        "|---|---|---|---|---|",
    ]
    for name, outcome in outcomes.items():
        manifest = outcome.manifest or {}
        words = (f"{manifest.get(key, '')}" for key in ("seconds", "finished", "code_version"))
        lines.append(f"| {name} | {outcome.state} | {' | '.join(words)} |")
    return "\n".join([*lines, "", f"[MLflow run]({link})"])


def summary_table(outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """One row a count."""
    return [
        {"step": name, "count": count, "value": value}
        for name, outcome in outcomes.items()
        for count, value in (outcome.manifest or {}).get("counts", {}).items()
    ]


def mlflow_link(config: PipelineConfig, tracker: Tracker) -> str:
    """Address of the pipeline's run on the MLflow page.

    A database in the workspace has no page of its own: it is where `clara up` serves it, or where
    the variable CLARA_MLFLOW_PAGE says. While MLflow has not heard of the run, its first page.
    """
    uri = config.tracking.uri or ""
    page = uri if uri.startswith("http") else os.environ.get("CLARA_MLFLOW_PAGE", _MLFLOW_PAGE)
    if not tracker.run_id:
        return page
    return f"{page.rstrip('/')}/#/experiments/{tracker.experiment_id}/runs/{tracker.run_id}"
