"""Rows with a teacher's answers, and the endpoints that the `mine` step asks."""

from __future__ import annotations

from collections.abc import Iterator

from configs.base import EndpointSettings
from configs.schema import PipelineConfig
from tasks.negatives.judge import judge_section, judge_settings
from tasks.rows.questions import Tally
from tasks.storage import Record
from tasks.workspace import Workspace


def keep_unreadable(workspace: Workspace, records: list[Record]) -> None:
    """Write the replies that could not be read where those of synthesis are."""
    from tasks.synthesis.teacher import keep_unreadable as keep

    keep(workspace, records)


def asked_endpoints(config: PipelineConfig) -> dict[str, EndpointSettings]:
    """The endpoints that `mine` asks, by the sections whose ledgers they write."""
    teacher = {"synthesis": config.synthesis} if config.synthesis.teacher else {}
    return teacher | judging_endpoint(config)


def judging_endpoint(config: PipelineConfig) -> dict[str, EndpointSettings]:
    """The endpoint that looks at negatives, by the section of its ledger; empty if none does."""
    if not config.negatives.llm_check:
        return {}
    return {judge_section(config): judge_settings(config)}


def taught(
    rows: list[Record],
    config: PipelineConfig,
    workspace: Workspace,
    tally: Tally,
    unreadable: list[Record],
) -> Iterator[Record]:
    """The rows with the teacher's answers, where one is asked; what it refuses is set aside."""
    if not config.synthesis.teacher:
        yield from rows
        return
    from tasks.synthesis.teacher import teach

    # What nothing answers has its refusal already.
    result = teach([row for row in rows if row["pos_index"]], config, workspace)
    tally.rejects.extend(result.rejects)
    unreadable.extend(result.unreadable)
    teacher = config.synthesis.model_for("teacher")
    for row in rows:
        if not row["pos_index"]:
            yield row
        elif row["id"] in result.answers:
            request = result.requests.get(row["id"])
            own = row["requests"] if request is None else [*row["requests"], request]
            answer = result.answers[row["id"]]
            yield {**row, "answer": answer, "teacher_model": teacher, "requests": own}
