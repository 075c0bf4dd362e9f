"""The synthesis step: questions, answers and a paraphrase for every passage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clara_model.errors import DataError
from configs.base import ENDPOINT_NEUTRAL
from configs.schema import PipelineConfig
from configs.synthesis import SynthesisSettings
from tasks.llm.client import ChatClient
from tasks.progress import progress
from tasks.storage import Journal, Record, Reject, StepResult, hash_json, read_records, write_jsonl
from tasks.synthesis.ask import Conversation
from tasks.synthesis.beyond import OTHER_LANGUAGE, ask_cross_lingual, ask_joint, ask_unanswerable
from tasks.synthesis.duplicates import KINDS, drop_repeated
from tasks.synthesis.entities import Link, choose, choose_partners, find_links
from tasks.synthesis.prompts import PROMPT_VERSION
from tasks.synthesis.protocol import Simple, ask_complex, ask_paraphrase, ask_simple
from tasks.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

STEP = "synthesize"
UNREADABLE = "rejected_replies.jsonl"
# Settings that neither change what is asked nor what is kept of it.
_NEUTRAL = ENDPOINT_NEUTRAL | {"teacher", "embedding", "max_similarity", "benchmark_share"}


@dataclass(frozen=True)
class Job:
    """Something to ask about: its key in the journal, and how."""

    key: str
    ask: Callable[[Conversation], Awaitable[Record]]


def synthesize(config: PipelineConfig, workspace: Workspace, *, base_url: str) -> StepResult:
    """Ask for questions, answers and a paraphrase of every passage and keep what holds.

    Finished passages are in a journal and finished requests in the client's cache: a run that was
    cut off asks nothing twice. Every passage ends in `synthesis.jsonl` or, where nothing about it
    held, among the rejects.

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
    jobs = plan_jobs(passages, settings)
    decisive = settings.model_dump(mode="json", exclude=set(_NEUTRAL))
    fingerprint = hash_json([decisive, PROMPT_VERSION, passages])
    with Journal(workspace.progress / f"{STEP}.jsonl", fingerprint) as journal:
        client = asyncio.run(_ask_all(jobs, settings, workspace, base_url, journal))
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
    return StepResult(_count(kept, rejects, client), tuple(rejects))


def plan_jobs(passages: list[Record], settings: SynthesisSettings) -> list[Job]:
    """One job a passage in their order, then one for each pair of passages."""
    by_id = {passage["id"]: passage for passage in passages}
    joint = choose(by_id, settings.joint_share, "joint")
    unanswerable = choose(by_id, settings.unanswerable_share, "unanswerable")
    foreign = choose(
        [p["id"] for p in passages if p["language"] in OTHER_LANGUAGE],
        settings.cross_lingual_share,
        "cross_lingual",
    )
    links = find_links(passages, joint | unanswerable)
    jobs = [
        Job(p["id"], _about_one(p, p["id"] in foreign,
                                links[p["id"]] if p["id"] in unanswerable else None))
        for p in passages
    ]  # fmt: skip
    partners = choose_partners({name: found for name, found in links.items() if name in joint})
    return jobs + [
        Job(f"{first}+{link.passage['id']}", _about_two(by_id[first], link))
        for first, link in partners
    ]


def _about_one(
    passage: Record, is_cross_lingual: bool, relatives: list[Link] | None
) -> Callable[[Conversation], Awaitable[Record]]:
    async def ask(talk: Conversation) -> Record:
        text, language = passage["text"], passage["language"]
        simple = await ask_simple(talk, text)
        complex_ = await ask_complex(talk, text, simple)
        paraphrase = None
        if talk.settings.paraphrase:
            paraphrase = await ask_paraphrase(talk, text, simple.facts)
        cross = await ask_cross_lingual(talk, passage) if is_cross_lingual else []
        none = await ask_unanswerable(talk, passage, relatives) if relatives is not None else []
        return {
            "simple": [pair.record(language) for pair in simple.pairs],
            "complex": [pair.record(language) for pair in complex_],
            "joint": [],
            "cross_lingual": cross,
            "unanswerable": none,
            "paraphrase": paraphrase[0] if paraphrase else None,
            "paraphrase_requests": paraphrase[1] if paraphrase else [],
            "rounds": simple.rounds,
            "coverage": _coverage(simple),
        }

    return ask


def _coverage(simple: Simple) -> dict[str, int]:
    return {"facts": len(simple.facts), "covered": len(simple.covered)}


def _about_two(first: Record, link: Link) -> Callable[[Conversation], Awaitable[Record]]:
    async def ask(talk: Conversation) -> Record:
        return {"first": first["id"], "joint": await ask_joint(talk, first, link)}

    return ask


async def _ask_all(
    jobs: list[Job],
    settings: SynthesisSettings,
    workspace: Workspace,
    base_url: str,
    journal: Journal,
) -> ChatClient:
    pending = [job for job in jobs if job.key not in journal]
    # Passages under way at once; the client bounds the requests.
    slots = asyncio.Semaphore(2 * settings.concurrency)
    async with ChatClient(settings, base_url, workspace.cache) as client:
        with progress(STEP, len(jobs)) as advance:
            advance(len(jobs) - len(pending))

            async def run(job: Job) -> None:
                async with slots:
                    talk = Conversation(job.key, client, settings)
                    found = await job.ask(talk)
                journal.add(
                    job.key,
                    {"found": found, "tokens": talk.tokens, "rejects": talk.rejects,
                     "unreadable": talk.unreadable},
                )  # fmt: skip
                advance(note=client.note())

            tasks = [asyncio.create_task(run(job)) for job in pending]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
    return client


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


def _count(rows: list[Record], rejects: list[Reject], client: ChatClient) -> dict[str, float]:
    return {
        **client.counts(),
        "passages": len(rows),
        **{kind: sum(len(row[kind]) for row in rows) for kind in KINDS},
        "paraphrases": sum(row["paraphrase"] is not None for row in rows),
        "facts": sum(row["coverage"]["facts"] for row in rows),
        "facts_covered": sum(row["coverage"]["covered"] for row in rows),
        "rejected": len(rejects),
        "prompt_tokens": sum(row["tokens"]["prompt"] for row in rows),
        "completion_tokens": sum(row["tokens"]["completion"] for row in rows),
    }
