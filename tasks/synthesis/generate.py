"""The synthesis step: questions, answers and a paraphrase for every passage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clara_model.errors import DataError
from configs.base import ENDPOINT_NEUTRAL
from configs.schema import PipelineConfig
from configs.synthesis import SynthesisSettings
from tasks.llm.client import ChatClient
from tasks.llm.endpoint import endpoint_url
from tasks.progress import progress
from tasks.sharding.shards import (
    Done,
    FanOut,
    may_be_shared,
    run_shards,
    share_of_endpoint,
    take_in,
    total_usage,
)
from tasks.storage import Journal, Record, Reject, StepResult, hash_json, read_records, write_jsonl
from tasks.synthesis.ask import UNREADABLE, Conversation
from tasks.synthesis.duplicates import KINDS, drop_repeated
from tasks.synthesis.jobs import Job, plan_jobs
from tasks.synthesis.prompts import PROMPT_VERSION
from tasks.synthesis.settings import usable_settings
from tasks.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

STEP = "synthesize"
# Settings that neither change what is asked nor what is kept of it.
_NEUTRAL = ENDPOINT_NEUTRAL | {"teacher", "embedding", "max_similarity", "benchmark_share"}


def synthesize(
    config: PipelineConfig, workspace: Workspace, *, base_url: str, fan_out: FanOut | None = None
) -> StepResult:
    """Ask for questions, answers and a paraphrase of every passage and keep what holds.

    Finished passages are in a journal and finished requests in the client's cache: a run that was
    cut off asks nothing twice. Every passage ends in `synthesis.jsonl` or, where nothing about it
    held, among the rejects.

    Args:
        config: The pipeline's settings.
        workspace: Where passages lie and `synthesis.jsonl` goes.
        base_url: Where the endpoint really listens.
        fan_out: Who asks, shard by shard; by default this process.

    Raises:
        ServiceError: If the endpoint refuses for good, or does not answer after all retries.
        DataError: If no passage got a single question.
    """
    settings = usable_settings(config)
    if settings.joint_share < config.synthesis.joint_share:
        log.info("no joint questions: model.generation_top_k is 1, a row cannot show two passages")
    passages = read_records(workspace.passages)
    jobs = plan_jobs(passages, settings)
    decisive = settings.model_dump(mode="json", exclude=set(_NEUTRAL))
    fingerprint = hash_json([decisive, PROMPT_VERSION, passages])
    with Journal(workspace.progress / f"{STEP}.jsonl", fingerprint) as journal:
        take_in(journal)
        pending = [job for job in jobs if job.key not in journal]
        if fan_out is not None and may_be_shared(STEP, settings):
            usage = _ask_in_shards(pending, settings, workspace, base_url, journal, fan_out)
        else:
            usage = _ask_here(pending, settings, workspace.cache, base_url, journal, len(jobs))
        entries = [journal.records[job.key] for job in jobs]
    provider = "embedded" if settings.is_embedded else str(urlsplit(base_url).hostname)
    rows, rejects = _assemble(passages, entries, settings, provider)
    rejects += drop_repeated(
        rows, STEP, embed=_embedder(settings, workspace), max_similarity=settings.max_similarity
    )
    kept = [row for row in rows if row["paraphrase"] or any(row[kind] for kind in KINDS)]
    rejects += _left_out(rows, rejects)
    if not any(row[kind] for row in kept for kind in KINDS[:-1]):
        raise DataError(
            f"{workspace.passages}: not one question could be made from {len(passages)} passages; "
            f"the reasons are in {journal.path}"
        )
    write_jsonl(workspace.root / UNREADABLE, (r for e in entries for r in e["unreadable"]))
    write_jsonl(workspace.synthesis, kept)
    journal.discard()
    return StepResult(_count(kept, rejects, usage), tuple(rejects))


def _ask_here(
    pending: list[Job],
    settings: SynthesisSettings,
    cache: Path,
    base_url: str,
    journal: Journal,
    total: int,
) -> dict[str, float]:
    with progress(STEP, total) as advance:
        advance(total - len(pending))

        def keep(job: Job, record: Record, note: str) -> None:
            journal.add(job.key, record)
            advance(note=note)

        return asyncio.run(_ask_all(pending, settings, cache, base_url, keep))


def _ask_in_shards(
    pending: list[Job],
    settings: SynthesisSettings,
    workspace: Workspace,
    base_url: str,
    journal: Journal,
    fan_out: FanOut,
) -> dict[str, float]:
    share = share_of_endpoint(settings, fan_out)
    cache = workspace.cache.absolute()
    work = partial(_ask_shard, settings=share, cache=cache, base_url=base_url)
    usage = run_shards(STEP, {job.key: job for job in pending}, work, journal, fan_out)
    ever = ChatClient(settings, base_url, cache).counts()
    return total_usage(usage, ever)


def _ask_shard(
    jobs: Sequence[Job], *, settings: SynthesisSettings, cache: Path, base_url: str
) -> Done:
    """In a worker: some passages; the embedded endpoint is wherever it is asked."""
    records: dict[str, Record] = {}

    def keep(job: Job, record: Record, note: str) -> None:
        del note
        records[job.key] = record

    with endpoint_url(settings) as own:
        address = own if settings.is_embedded else base_url
        usage = asyncio.run(_ask_all(jobs, settings, cache, address, keep))
    return Done({job.key: records[job.key] for job in jobs}, usage)


async def _ask_all(
    jobs: Sequence[Job],
    settings: SynthesisSettings,
    cache: Path,
    base_url: str,
    keep: Callable[[Job, Record, str], None],
) -> dict[str, float]:
    # Passages under way at once; the client bounds the requests.
    slots = asyncio.Semaphore(2 * settings.concurrency)
    async with ChatClient(settings, base_url, cache) as client:

        async def run(job: Job) -> None:
            async with slots:
                talk = Conversation(job.key, client, settings)
                found = await job.ask(talk)
            record = {"found": found, "tokens": talk.tokens, "rejects": talk.rejects,
                      "unreadable": talk.unreadable}  # fmt: skip
            keep(job, record, client.note())

        tasks = [asyncio.create_task(run(job)) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
    return client.counts()


def _assemble(
    passages: list[Record], entries: list[Record], settings: SynthesisSettings, provider: str
) -> tuple[list[Record], list[Reject]]:
    """A row a passage, with the questions that it begins together with another one."""
    made_by = {
        "provider": provider,
        "model": settings.model_for("questions"),
        "verification_model": settings.model_for("verification"),
        "prompt_version": PROMPT_VERSION,
    }
    rows = {}
    for passage, entry in zip(passages, entries, strict=False):
        about = {"passage_id": passage["id"]} | {
            key: passage[key] for key in ("source", "language", "split")
        }
        rows[passage["id"]] = about | entry["found"] | made_by | {"tokens": dict(entry["tokens"])}
    for entry in entries[len(passages) :]:
        row = rows[entry["found"]["first"]]
        row["joint"] = row["joint"] + entry["found"]["joint"]
        row["tokens"] = {key: row["tokens"][key] + n for key, n in entry["tokens"].items()}
    rejects = [Reject(STEP, item, reason) for e in entries for item, reason in e["rejects"]]
    return list(rows.values()), rejects


def _left_out(rows: list[Record], rejects: list[Reject]) -> list[Reject]:
    """Passages of which nothing is left, with what was found wrong first."""
    reasons: dict[str, str] = {}
    for reject in rejects:
        reasons.setdefault(reject.item.partition(" ")[0], reject.reason)
    return [
        Reject(STEP, row["passage_id"],
               f"nothing held: {reasons.get(row['passage_id'], 'nothing was offered')}")
        for row in rows
        if not row["paraphrase"] and not any(row[kind] for kind in KINDS)
    ]  # fmt: skip


def _embedder(
    settings: SynthesisSettings, workspace: Workspace
) -> Callable[[list[str]], np.ndarray] | None:
    """Vectors of questions by the model of the settings; None where none is named."""
    embedding = settings.embedding
    if not embedding.is_there:
        return None

    def embed(questions: list[str]) -> np.ndarray:
        import numpy as np

        from tasks.negatives.embeddings import embed_texts

        folder = workspace.cache / "embeddings"
        vectors = embed_texts(questions, embedding, folder, prefix=embedding.query_prefix)
        return vectors.take(np.arange(len(questions)))

    return embed


def _count(
    rows: list[Record], rejects: list[Reject], usage: Mapping[str, float]
) -> dict[str, float]:
    return {
        **usage,
        "passages": len(rows),
        **{kind: sum(len(row[kind]) for row in rows) for kind in KINDS},
        "paraphrases": sum(row["paraphrase"] is not None for row in rows),
        "facts": sum(row["coverage"]["facts"] for row in rows),
        "facts_covered": sum(row["coverage"]["covered"] for row in rows),
        "rejected": len(rejects),
        "prompt_tokens": sum(row["tokens"]["prompt"] for row in rows),
        "completion_tokens": sum(row["tokens"]["completion"] for row in rows),
    }
