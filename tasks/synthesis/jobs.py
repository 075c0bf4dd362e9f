"""What there is to ask: a job a passage, and one a pair of passages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from configs.synthesis import SynthesisSettings
from tasks.storage import Record
from tasks.synthesis.ask import Conversation
from tasks.synthesis.beyond import OTHER_LANGUAGE, ask_cross_lingual, ask_joint, ask_unanswerable
from tasks.synthesis.entities import Link, choose, choose_partners, find_links
from tasks.synthesis.protocol import Simple, ask_complex, ask_paraphrase, ask_simple


@dataclass(frozen=True)
class Job:
    """Something to ask about: its key in the journal, and how; it can be pickled."""

    key: str
    ask: Callable[[Conversation], Awaitable[Record]]


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
        Job(p["id"], partial(_ask_about_one, p, p["id"] in foreign,
                             links[p["id"]] if p["id"] in unanswerable else None))
        for p in passages
    ]  # fmt: skip
    partners = choose_partners({name: found for name, found in links.items() if name in joint})
    return jobs + [
        Job(f"{first}+{link.passage['id']}", partial(_ask_about_two, by_id[first], link))
        for first, link in partners
    ]


async def _ask_about_one(
    passage: Record, is_cross_lingual: bool, relatives: list[Link] | None, talk: Conversation
) -> Record:
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


def _coverage(simple: Simple) -> dict[str, int]:
    return {"facts": len(simple.facts), "covered": len(simple.covered)}


async def _ask_about_two(first: Record, link: Link, talk: Conversation) -> Record:
    return {"first": first["id"], "joint": await ask_joint(talk, first, link)}
