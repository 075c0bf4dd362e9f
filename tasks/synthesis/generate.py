"""The synthesis step: questions, answers and a paraphrase for every passage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from clara_model.errors import DataError
from configs.schema import PipelineConfig, SynthesisSettings
from tasks.llm.client import ChatClient, RequestRefused
from tasks.progress import progress
from tasks.storage import Journal, Record, Reject, StepResult, hash_json, read_records, write_jsonl
from tasks.synthesis.checks import fault_of_pair, fault_of_paraphrase, normalise
from tasks.synthesis.prompts import PROMPT_VERSION, Messages, Task, build_messages, build_repair
from tasks.synthesis.replies import Pairs, Paraphrase, UnreadableReply, read_reply
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

STEP = "synthesize"

Form = TypeVar("Form", Pairs, Paraphrase)


def synthesize(config: PipelineConfig, workspace: Workspace, *, base_url: str) -> StepResult:
    """Ask for questions, answers and a paraphrase of every passage and keep what holds.

    Finished passages are in a journal and finished requests in the client's cache: a run that was
    cut off asks nothing twice.

    Args:
        config: The pipeline's settings.
        workspace: Where passages lie and `synthesis.jsonl` goes.
        base_url: Where the endpoint really listens.

    Raises:
        ServiceError: If the endpoint refuses for good, or does not answer after all retries.
        DataError: If no passage got a single question.
    """
    settings = config.synthesis
    passages = read_records(workspace.passages)
    fingerprint = hash_json([settings.model_dump(mode="json"), PROMPT_VERSION, passages])
    with Journal(workspace.progress / f"{STEP}.jsonl", fingerprint) as journal:
        client = asyncio.run(_ask_all(passages, settings, workspace, base_url, journal))
        entries = [journal.records[passage["id"]] for passage in passages]
    rows, rejects = _drop_repeated(entries)
    if not any(row["simple"] or row["complex"] for row in rows):
        raise DataError(
            f"{workspace.passages}: not one question could be made from {len(passages)} passages; "
            f"the reasons are in {journal.path}"
        )
    write_jsonl(workspace.synthesis, rows)
    journal.discard()
    usage = list(client.usage.values())
    counts: dict[str, float] = {
        "passages": len(rows),
        "simple": sum(len(row["simple"]) for row in rows),
        "complex": sum(len(row["complex"]) for row in rows),
        "paraphrases": sum(row["paraphrase"] is not None for row in rows),
        "rejected": len(rejects),
        "requests": sum(u.requests for u in usage),
        "cached": sum(u.cached for u in usage),
        "prompt_tokens": sum(row["tokens"]["prompt"] for row in rows),
        "completion_tokens": sum(row["tokens"]["completion"] for row in rows),
    }
    return StepResult(counts, tuple(rejects))


async def _ask_all(
    passages: list[Record],
    settings: SynthesisSettings,
    workspace: Workspace,
    base_url: str,
    journal: Journal,
) -> ChatClient:
    provider = "embedded" if settings.is_embedded else str(urlsplit(base_url).hostname)
    pending = [passage for passage in passages if passage["id"] not in journal]
    # Passages under way at once; the client bounds the requests.
    slots = asyncio.Semaphore(2 * settings.concurrency)
    async with ChatClient(settings, base_url, workspace.cache) as client:
        with progress(STEP, len(passages)) as advance:
            advance(len(passages) - len(pending))
            tasks = [
                asyncio.create_task(_ask_one(passage, client, provider, slots, journal, advance))
                for passage in pending
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
    return client


async def _ask_one(
    passage: Record,
    client: ChatClient,
    provider: str,
    slots: asyncio.Semaphore,
    journal: Journal,
    advance: Callable[..., None],
) -> None:
    settings = client.settings
    assert isinstance(settings, SynthesisSettings)
    async with slots:
        entry = Entry(passage, client)
        simple = await entry.ask_pairs("simple_qa", settings.simple_questions)
        complex_ = await entry.ask_pairs("complex_qa", settings.complex_questions)
        paraphrase = await entry.ask_paraphrase() if settings.paraphrase else None
    record = {
        "passage_id": passage["id"],
        "source": passage["source"],
        "language": passage["language"],
        "split": passage["split"],
        "simple": simple,
        "complex": complex_,
        "paraphrase": paraphrase,
        "provider": provider,
        "model": settings.model,
        "prompt_version": PROMPT_VERSION,
        "tokens": {"prompt": entry.prompt_tokens, "completion": entry.completion_tokens},
    }
    journal.add(passage["id"], {"row": record, "rejects": entry.rejects})
    advance()


class Entry:
    """One passage under way: its requests, their token cost, and what was set aside."""

    def __init__(self, passage: Record, client: ChatClient) -> None:
        self.passage = passage
        self.client = client
        self.rejects: list[list[str]] = []
        self.prompt_tokens = 0
        self.completion_tokens = 0

    async def ask_pairs(self, task: Task, number: int) -> list[Record]:
        """Questions with answers that pass the checks, at most `number`."""
        if number == 0:
            return []
        reply = await self._ask(task, number, Pairs)
        if reply is None:
            return []
        kept = []
        for pair in reply.pairs[:number]:
            fault = fault_of_pair(
                pair.question, pair.answer, self.passage["text"], verbatim=task == "simple_qa"
            )
            if fault is None:
                kept.append(pair.model_dump())
            else:
                self._reject(task, f"{fault}: {pair.question} / {pair.answer}")
        return kept

    async def ask_paraphrase(self) -> str | None:
        """A paraphrase that keeps the numbers and most of the text, or None."""
        reply = await self._ask("paraphrase", 1, Paraphrase)
        if reply is None:
            return None
        fault = fault_of_paraphrase(reply.paraphrase, self.passage["text"])
        if fault is not None:
            self._reject("paraphrase", fault)
            return None
        return reply.paraphrase

    async def _ask(self, task: Task, number: int, form: type[Form]) -> Form | None:
        """The reply in the form asked for, after one attempt at repair; None if set aside."""
        messages = build_messages(task, self.passage["text"], number)
        try:
            text = await self._send(messages, task)
            try:
                return read_reply(text, form)
            except UnreadableReply as err:
                text = await self._send(build_repair(messages, text, str(err)), task)
                return read_reply(text, form)
        except UnreadableReply as err:
            self._reject(task, f"{err}; the reply was: {text[:300]}")
        except RequestRefused as err:
            self._reject(task, str(err))
        return None

    async def _send(self, messages: Messages, task: Task) -> str:
        settings = self.client.settings
        assert isinstance(settings, SynthesisSettings)
        reply = await self.client.ask(
            messages,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            purpose=task,
        )
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        return reply.text

    def _reject(self, task: Task, reason: str) -> None:
        self.rejects.append([f"{self.passage['id']} {task}", reason])


def _drop_repeated(entries: list[Record]) -> tuple[list[Record], list[Reject]]:
    """Rows in passage order, each question once; the first passage that asks it keeps it."""
    seen: set[str] = set()
    rows, rejects = [], []
    for entry in entries:
        row = dict(entry["row"])
        rejects += [Reject(STEP, item, reason) for item, reason in entry["rejects"]]
        for kind in ("simple", "complex"):
            kept = []
            for pair in row[kind]:
                question = normalise(pair["question"])
                if question in seen:
                    item = f"{row['passage_id']} {kind}_qa"
                    rejects.append(Reject(STEP, item, f"asked before: {pair['question']}"))
                    continue
                seen.add(question)
                kept.append(pair)
            row[kind] = kept
        rows.append(row)
    return rows, rejects
