"""A patient client for OpenAI-compatible endpoints: bounded, retrying, cached, discreet."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from clara_model.errors import ServiceError
from configs.base import EndpointSettings
from tasks.llm.cache import REQUEST_ID_DIGITS, Reply, ReplyCache
from tasks.llm.faults import Fault, RequestRefused, refuses_form
from tasks.llm.gate import Gate
from tasks.llm.spending import BudgetSpent, Spending, Usage
from tasks.llm.structured import response_format
from tasks.llm.tokens import count_messages
from tasks.llm.wire import LONGEST_WAIT_S, Wire
from tasks.storage import hash_json

__all__ = ["BudgetSpent", "ChatClient", "Reply", "RequestRefused", "Usage"]

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
# When a run stops, replies that are on their way (and paid for) are waited for so long.
LAST_REPLIES_S = 30.0
# They think before they answer: another name for the length limit, and no temperature.
_REASONING_MODEL = re.compile(r"(o\d|gpt-5)")


class ChatClient:
    """Asks one endpoint; use it as an async context manager.

    Args:
        settings: Model, limits, and the name of the variable that holds the key.
        base_url: Where to send requests; for the embedded endpoint, where it listens now.
        cache_folder: Where replies are kept.
        section: Name of the settings' section in the configuration, for messages.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        base_url: str,
        cache_folder: Path,
        *,
        section: str | None = None,
    ) -> None:
        self.settings = settings
        self.base_url = base_url.rstrip("/")
        section = section or type(settings).__name__.removesuffix("Settings").lower()
        self.spending = Spending(settings, section, cache_folder / "spent")
        self._cache = ReplyCache(cache_folder)
        self._wire = Wire(settings, self.base_url)
        self._identity = _identity(settings, self.base_url)
        self._gate = Gate(settings, time.monotonic)
        self._form_refused = False
        self._under_way: dict[str, asyncio.Task[Reply]] = {}
        self._on_the_wire: set[asyncio.Task[Any] | None] = set()
        self._answers = 0
        self._fatal: ServiceError | None = None

    @property
    def usage(self) -> dict[str, Usage]:
        """What this run has asked of each model."""
        return self.spending.run

    async def __aenter__(self) -> ChatClient:
        self._wire.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        # Nothing new from here on; what waits for its turn is dropped, what is sent is waited for.
        self._fatal = self._fatal or ServiceError(f"{self.base_url}: the client is closed")
        tasks = set(self._under_way.values())
        for task in tasks - self._on_the_wire:
            task.cancel()
        if sent := tasks & self._on_the_wire:
            log.info("%s: waiting for %d replies on their way", self.spending.section, len(sent))
            await asyncio.wait(sent, timeout=LAST_REPLIES_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._wire.close()
        self.spending.close()
        asked = {model: used for model, used in self.usage.items() if used.requests}
        if asked and not self.settings.is_embedded:
            log.info("%s: %s", self.spending.section, self.spending.describe(asked))

    def note(self) -> str:
        """The running count of tokens and cost, for a progress line."""
        return self.spending.note()

    def counts(self) -> dict[str, float]:
        """Requests, tokens and cost of this run, for a step's counts."""
        damaged = {"cache_damaged": self._cache.damaged} if self._cache.damaged else {}
        return self.spending.counts() | damaged

    async def ask(
        self,
        messages: list[dict[str, Any]],
        *,
        max_tokens: int,
        temperature: float,
        purpose: str,
        model: str | None = None,
        schema: type[BaseModel] | None = None,
    ) -> Reply:
        """The model's reply to a conversation, from disk if it was ever asked before.

        Args:
            messages: OpenAI chat messages.
            max_tokens: Length limit of the reply.
            temperature: Sampling temperature.
            purpose: What it is for ("simple_qa", "caption"), kept beside the reply.
            model: Another model than the settings' `model`, such as that of a role.
            schema: Form of the reply, where the endpoint can be held to one; check it all the same.

        Raises:
            RequestRefused: If the endpoint refuses this request but may accept others.
            BudgetSpent: If `max_cost` or `max_requests` leaves no room for it.
            ServiceError: If it refuses for good, or did not answer after all retries
                (`retryable`).
        """
        payload = self._payload(messages, max_tokens, temperature, model, schema)
        key = hash_json([self._identity, payload])
        known = self._cache.read(key)
        if known is not None:
            self.usage[payload["model"]].cached += 1
            return known
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._ask_and_keep(key, payload, max_tokens, purpose))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
            return await asyncio.shield(task)
        reply = await asyncio.shield(task)
        self.usage[payload["model"]].cached += 1
        return replace(reply, cached=True)

    def _payload(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int,
        temperature: float,
        model: str | None,
        schema: type[BaseModel] | None,
    ) -> dict[str, Any]:
        payload: dict[str, Any] = {"model": model or self.settings.model, "messages": messages}
        if self.settings.provider == "openai" and _REASONING_MODEL.match(payload["model"]):
            payload["max_completion_tokens"] = max_tokens
        else:
            payload |= {"max_tokens": max_tokens, "temperature": temperature}
        if schema is not None:
            form = response_format(schema, self.settings.structured_ability)
            payload |= {"response_format": form} if form else {}
        return payload | self.settings.further_fields

    def _forget(self, key: str, task: asyncio.Task[Reply]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen: who asked may be gone already

    async def _ask_and_keep(
        self, key: str, payload: dict[str, Any], max_tokens: int, purpose: str
    ) -> Reply:
        # Counted as sent until the reply is on disk.
        task, model = asyncio.current_task(), payload["model"]
        try:
            reply = await self._ask_in_any_form(payload, max_tokens)
            reply = replace(reply, request_id=key[:REQUEST_ID_DIGITS])
            self._on_the_wire.add(task)
            # Beside the loop: a write waits for the disk.
            await asyncio.to_thread(
                self._cache.write, key, reply, model=model, purpose=purpose, request=payload
            )
        except OSError as err:
            self._fatal = ServiceError(
                f"{self._cache.path(key)}: a reply cannot be kept ({err}); make room, then run the "
                "same command again"
            )
            raise self._fatal from err
        finally:
            self._on_the_wire.discard(task)
        return reply

    async def _ask_in_any_form(self, payload: dict[str, Any], max_tokens: int) -> Reply:
        """Without `response_format` once the endpoint has turned out not to know it."""
        plain = {name: value for name, value in payload.items() if name != "response_format"}
        if self._form_refused:
            return await self._ask_patiently(plain, max_tokens)
        try:
            return await self._ask_patiently(payload, max_tokens)
        except RequestRefused as err:
            if not refuses_form(err, payload):
                raise
            log.warning("%s; set `structured_output: none` to ask without from the start", err)
            self._form_refused = True
        return await self._ask_patiently(plain, max_tokens)

    async def _ask_patiently(self, payload: dict[str, Any], max_tokens: int) -> Reply:
        """Attempts until one succeeds; refusals for load count only where nobody was served."""
        attempts = failures = 0
        while True:
            served = self._answers
            try:
                return await self._attempt(payload, max_tokens, again=attempts > 0)
            except Fault as err:
                fault = err
            self._stop_if_fatal()
            attempts += 1
            if not fault.refused_for_load or self._answers == served:
                failures += 1
            if failures > self.settings.max_retries:
                raise ServiceError(
                    f"{self.base_url}: no answer after {attempts} attempts; the last: "
                    f"{fault.words}. Finished requests are kept: run the same command again",
                    retryable=True,
                )
            delay = _backoff(0 if fault.wait_s is not None else max(0, failures - 1))
            delay = max(delay, fault.wait_s or 0.0)
            log.info("%s: %s; again in %.1f s", self.base_url, fault.words, delay)
            await asyncio.sleep(delay)

    async def _attempt(self, payload: dict[str, Any], max_tokens: int, *, again: bool) -> Reply:
        """One request, when its turn has come.

        Raises:
            Fault: If another attempt may succeed.
            ServiceError: If none can.
        """
        model, gate, spending = payload["model"], self._gate, self.spending
        expected = count_messages(payload["messages"])
        async with gate.place(first=again):
            await gate.wait_for_rates(expected + max_tokens)
            self._stop_if_fatal()
            try:
                reserved = await spending.admit(model, expected, max_tokens)
            except ServiceError as err:
                self._fatal = err
                raise
            try:
                self._stop_if_fatal()
                reply = await self._send(payload)
                spending.pay(model, reply.prompt_tokens, reply.completion_tokens)
            finally:
                spending.release(reserved)
            used = reply.prompt_tokens + reply.completion_tokens
            gate.correct(used - expected - max_tokens)
            gate.window.grow()
            self._answers += 1
        return reply

    def _stop_if_fatal(self) -> None:
        if self._fatal is not None:
            raise self._fatal

    async def _send(self, payload: dict[str, Any]) -> Reply:
        """The reply over the wire; what its failure says about the endpoint is heeded."""
        task, sent_at = asyncio.current_task(), time.monotonic()
        self._on_the_wire.add(task)
        try:
            return await self._wire.send(payload)
        except Fault as fault:
            self._slow_down(fault, sent_at)
            raise
        except RequestRefused:
            raise
        except ServiceError as err:
            self._fatal = err
            raise
        finally:
            self._on_the_wire.discard(task)

    def _slow_down(self, fault: Fault, sent_at: float) -> None:
        window = self._gate.window
        if fault.overload and window.halve(sent_at, time.monotonic()):
            log.info("%s: at most %d requests at once from here", self.base_url, int(window.size))
        if fault.refused_for_load and fault.wait_s:
            self._gate.pause(fault.wait_s)


def _identity(settings: EndpointSettings, base_url: str) -> str:
    """Who answers, for the cache: the embedded endpoint is known by its rules, not by its port."""
    if not settings.is_embedded:
        return base_url
    from tasks.llm.embedded import RULES_VERSION

    return f"embedded/{RULES_VERSION}"


def _backoff(failures: int) -> float:
    """Doubling waits with jitter, so that many clients do not come back together."""
    return min(FIRST_WAIT_S * 2**failures, LONGEST_WAIT_S) * random.uniform(0.75, 1.0)
