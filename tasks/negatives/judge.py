"""A model's look at mined candidates: which of them answer the question after all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ValidationError

from clara_model.errors import ConfigError, ServiceError
from configs.base import EndpointSettings
from configs.schema import PipelineConfig
from tasks.llm.client import ChatClient, RequestRefused
from tasks.llm.probe import is_answering
from tasks.negatives.mine import Asked, Picked
from tasks.negatives.pool import PassagePool
from tasks.storage import Reject
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

# What takes the place of a candidate that was dropped is looked at too, so many times.
_ROUNDS = 3
_MAX_TOKENS = 300

_INSTRUCTION = (
    "You check the candidates of a retrieval exercise. You are given a question and numbered "
    "passages. Name the passages from which alone the question can be answered. Reply with JSON "
    'only: {"answering": [numbers]}; an empty list if there is none.'
)

# Mines questions of a block again: their numbers in it, and what is no negative of each.
MineAgain = Callable[[Sequence[int], Sequence[set[int]]], list[Picked]]


class Verdict(BaseModel):
    """Numbers, from 1, of the passages that answer the question."""

    answering: list[int]


def judge_settings(config: PipelineConfig) -> EndpointSettings:
    """The endpoint that looks.

    Raises:
        ConfigError: If it is the embedded one, whose rules cannot.
    """
    settings = config.negatives.judge or config.synthesis
    if settings.is_embedded:
        raise ConfigError(
            "negatives.llm_check needs a model that reads: set negatives.judge.base_url and model "
            "(or those of synthesis); the embedded endpoint's rules cannot judge"
        )
    return settings


def judge_section(config: PipelineConfig) -> str:
    """The section whose limits hold for the looks, and whose ledger they are in."""
    return "synthesis" if config.negatives.judge is None else "negatives.judge"


def build_look(question: str, texts: Sequence[str]) -> list[dict[str, str]]:
    """The messages that ask which of some texts answer a question."""
    numbered = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(texts, 1))
    return [
        {"role": "system", "content": _INSTRUCTION},
        {"role": "user", "content": f"Question: {question}\n\n{numbered}"},
    ]


def check_block(
    pool: PassagePool,
    block: Sequence[Asked],
    picks: list[Picked],
    mine_again: MineAgain,
    settings: EndpointSettings,
    workspace: Workspace,
    section: str,
    rejects: list[Reject],
) -> list[Picked]:
    """Picks of a block without the candidates that a model finds to answer their question.

    Each is replaced by the next best, which is looked at in turn. A candidate that the endpoint
    gives no readable verdict on stays, and its question goes to `rejects`; so do those that it
    does not answer while it answers others. Verdicts are cached: nothing is paid twice.

    Raises:
        ServiceError: If the endpoint refuses for good, or does not answer after all retries.
    """
    barred: list[set[int]] = [set() for _ in block]
    seen: list[set[int]] = [set() for _ in block]
    for _ in range(_ROUNDS):
        fresh = [
            [p for p in picked.positions if p not in known]
            for picked, known in zip(picks, seen, strict=True)
        ]
        found = asyncio.run(_ask_all(pool, block, fresh, settings, workspace, section, rejects))
        for own, looked_at, answering in zip(seen, fresh, found, strict=True):
            own.update(looked_at)
            own -= answering
        again = [i for i, answering in enumerate(found) if answering]
        if not again:
            break
        for i in again:
            barred[i] |= found[i]
        log.info("judge: %d candidates answer their question; replaced", sum(map(len, found)))
        picks = list(picks)
        for i, picked in zip(again, mine_again(again, [barred[i] for i in again]), strict=True):
            picks[i] = picked
    return picks


async def _ask_all(
    pool: PassagePool,
    block: Sequence[Asked],
    fresh: Sequence[Sequence[int]],
    settings: EndpointSettings,
    workspace: Workspace,
    section: str,
    rejects: list[Reject],
) -> list[set[int]]:
    async with ChatClient(settings, settings.base_url, workspace.cache, section=section) as client:
        found = await asyncio.gather(
            *(
                _ask_one(client, asked.question, positions, [pool.texts[p] for p in positions])
                for asked, positions in zip(block, fresh, strict=True)
            )
        )
    for asked, verdict in zip(block, found, strict=True):
        if isinstance(verdict, str):
            log.warning("judge: no verdict on the candidates of %r: %s", asked.question, verdict)
            reason = f"candidates not judged, they stay: {verdict}"
            rejects.append(Reject("mine", asked.question, reason))
    return [set() if isinstance(verdict, str) else verdict for verdict in found]


async def _ask_one(
    client: ChatClient, question: str, positions: Sequence[int], texts: Sequence[str]
) -> set[int] | str:
    """The positions that answer, or why there is no verdict."""
    if not positions:
        return set()
    messages = build_look(question, texts)
    model = client.settings.model_for("verification")
    try:
        reply = await client.ask(
            messages,
            max_tokens=_MAX_TOKENS,
            temperature=0.0,
            purpose="negatives",
            model=model,
            schema=Verdict,
        )
        text = reply.text
        verdict = Verdict.model_validate_json(text[text.find("{") : text.rfind("}") + 1])
    except (RequestRefused, ValidationError) as err:
        return str(err)
    except ServiceError as err:
        # One list that a server cannot digest must not stop all others, in this run and the next.
        if not err.retryable or not await is_answering(
            client, model=model, max_tokens=_MAX_TOKENS, temperature=0.0
        ):
            raise
        return f"others are answered, but this is not: {err}"
    return {positions[n - 1] for n in verdict.answering if 1 <= n <= len(positions)}
