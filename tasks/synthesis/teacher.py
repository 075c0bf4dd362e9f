"""The teacher: a model's own answers to instruction rows, from the documents that a row shows.

Source: CLaRa paper (arXiv 2511.18659): stage 2 learns from answers that a teacher gave from the
same top-k documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from configs.schema import PipelineConfig
from tasks.llm.client import ChatClient
from tasks.llm.endpoint import endpoint_url
from tasks.passages.sentences import detect_language
from tasks.progress import progress
from tasks.storage import Record, Reject, read_records, write_jsonl
from tasks.synthesis.ask import UNREADABLE, Conversation
from tasks.synthesis.prompts import build_messages
from tasks.synthesis.replies import TeacherAnswer
from tasks.workspace import Workspace

STEP = "mine"


@dataclass(frozen=True)
class TeacherResult:
    """Answers and the requests that brought them, both by row id; and rows without an answer.

    Args:
        answers: By row id.
        requests: By row id.
        rejects: Rows without an answer.
        unreadable: Whole replies that could not be read even after repair.
    """

    answers: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()
    unreadable: tuple[Record, ...] = ()


def teach(rows: list[Record], config: PipelineConfig, workspace: Workspace) -> TeacherResult:
    """Ask the teacher model each row's question, with the row's documents in front of it.

    Where the documents do not say, the answer is the refusal of the question's language. Replies
    are in the cache: a run that was cut off pays for none twice. Without `synthesis.teacher`
    nothing is asked.

    Args:
        rows: Instruction rows with `id`, `question` and `docs` (the k documents, in order).
        config: The pipeline's settings; the teacher is part of `synthesis`.
        workspace: Where replies are kept.

    Raises:
        ServiceError: If the endpoint refuses for good, or does not answer after all retries.
    """
    if not config.synthesis.teacher or not rows:
        return TeacherResult()
    with endpoint_url(config.synthesis) as base_url:
        return asyncio.run(_ask_all(rows, config, workspace, base_url))


def keep_unreadable(workspace: Workspace, records: list[Record]) -> None:
    """Put the teacher's unreadable replies beside those of synthesis, over an earlier run's."""
    path = workspace.root / UNREADABLE
    others = read_records(path) if path.is_file() else []
    write_jsonl(path, [*(r for r in others if r.get("task") != "teach"), *records])


async def _ask_all(
    rows: list[Record], config: PipelineConfig, workspace: Workspace, base_url: str
) -> TeacherResult:
    settings = config.synthesis
    slots = asyncio.Semaphore(2 * settings.concurrency)
    async with ChatClient(settings, base_url, workspace.cache) as client:
        talks = [Conversation(row["id"], client, settings) for row in rows]
        with progress("teacher", len(rows)) as advance:
            tasks = [
                asyncio.create_task(_ask_one(row, talk, slots, advance))
                for row, talk in zip(rows, talks, strict=True)
            ]
            try:
                found = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
    said = {row["id"]: answer for row, answer in zip(rows, found, strict=True) if answer}
    return TeacherResult(
        {row_id: answer for row_id, (answer, _) in said.items()},
        {row_id: request for row_id, (_, request) in said.items()},
        tuple(Reject(STEP, item, reason) for talk in talks for item, reason in talk.rejects),
        tuple(record for talk in talks for record in talk.unreadable),
    )


async def _ask_one(
    row: Record, talk: Conversation, slots: asyncio.Semaphore, advance: Callable[..., None]
) -> tuple[str, str] | None:
    messages = build_messages("teach", row["docs"], lists={"questions": [row["question"]]})
    async with slots:
        reply = await talk.ask("teach", messages, TeacherAnswer, role="teacher")
    advance()
    if reply is None:
        return None
    refusal = talk.settings.refusal_in(detect_language(row["question"]))
    return reply[0].answer or refusal, reply[1]
