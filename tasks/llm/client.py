"""A patient client for OpenAI-compatible endpoints: bounded, retrying, cached, discreet."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
from pydantic import BaseModel, Field, ValidationError

from clara_model.errors import ServiceError
from configs.base import EndpointSettings
from tasks.llm.cache import REQUEST_ID_DIGITS, Reply, ReplyCache
from tasks.llm.structured import response_format
from tasks.storage import hash_json

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 120.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "arrearage"}
_REMEDY = {
    401: "set `api_key` to ${NAME} of an environment variable that holds a valid key",
    402: "the account needs credit",
    403: "the key may not use this model: choose another `model` or key",
    404: "check `base_url` (it usually ends in /v1) and `model`",
    429: "the quota is used up: add credit, or choose another endpoint",
}


class RequestRefused(ServiceError):
    """The endpoint refuses this one request (400, 413, 422); others may pass."""


@dataclass(slots=True)
class Usage:
    """What one model was asked; `cached` ones were answered from disk and cost nothing."""

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatClient:
    """Asks one endpoint; use it as an async context manager.

    Args:
        settings: Model, limits, and the name of the variable that holds the key.
        base_url: Where to send requests; for the embedded endpoint, where it listens now.
        cache_folder: Where replies are kept.
    """

    def __init__(self, settings: EndpointSettings, base_url: str, cache_folder: Path) -> None:
        self.settings = settings
        self.base_url = base_url.rstrip("/")
        self.usage: dict[str, Usage] = defaultdict(Usage)
        self._cache = ReplyCache(cache_folder)
        self._key = settings.read_api_key() or "none"
        self._ability = settings.structured_ability
        self._identity = _identity(settings, self.base_url)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._under_way: dict[str, asyncio.Task[Reply]] = {}
        self._fatal: ServiceError | None = None

    async def __aenter__(self) -> ChatClient:
        is_local = urlsplit(self.base_url).hostname in _LOOPBACK
        self._openai = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self.base_url,
            timeout=self.settings.timeout_s,
            max_retries=0,  # ours, below: the library would also retry an exhausted quota
            # A proxy from the environment cannot reach this machine's loopback.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if is_local else None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._openai.close()

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
            ServiceError: If it refuses for good, or did not answer after all retries
                (`retryable`).
        """
        payload: dict[str, Any] = {
            "model": model or self.settings.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        if schema and (form := response_format(schema, self._ability)) is not None:
            payload["response_format"] = form
        key = hash_json([self._identity, payload])
        usage = self.usage[payload["model"]]
        known = self._cache.read(key)
        if known is not None:
            usage.cached += 1
            return known
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._ask_endpoint(key, payload, purpose))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
            return await asyncio.shield(task)
        reply = await asyncio.shield(task)
        usage.cached += 1
        return replace(reply, cached=True)

    async def _ask_endpoint(self, key: str, payload: dict[str, Any], purpose: str) -> Reply:
        async with self._slots:
            reply = await self._ask_patiently(payload)
            reply = replace(reply, request_id=key[:REQUEST_ID_DIGITS])
            usage = self.usage[payload["model"]]
            usage.prompt_tokens += reply.prompt_tokens
            usage.completion_tokens += reply.completion_tokens
            # Beside the loop: a write waits for the disk.
            await asyncio.to_thread(
                self._cache.write, key, reply, model=payload["model"], purpose=purpose
            )
        return reply

    async def _ask_patiently(self, payload: dict[str, Any]) -> Reply:
        for attempt in range(self.settings.max_retries + 1):
            if self._fatal is not None:
                raise self._fatal
            self.usage[payload["model"]].requests += 1
            try:
                return await self._ask_once(payload)
            except openai.APIStatusError as err:
                failure, wait = self._judge(err), _retry_after(err)
            except (openai.APIConnectionError, openai.APITimeoutError) as err:
                failure, wait = f"{err} ({type(err.__cause__ or err).__name__})", None
            except ValidationError as err:
                failure, wait = f"not a chat completion ({err.error_count()} faults)", None
            if attempt < self.settings.max_retries:
                delay = _backoff(attempt) if wait is None else wait
                log.info("%s: %s; again in %.1f s", self.base_url, failure, delay)
                await asyncio.sleep(delay)
        raise ServiceError(
            f"{self.base_url}: no answer after {self.settings.max_retries + 1} attempts; the last: "
            f"{failure}. Finished requests are kept: run the same command again",
            retryable=True,
        )

    async def _ask_once(self, payload: dict[str, Any]) -> Reply:
        response = await self._openai.chat.completions.with_raw_response.create(**payload)
        body = _Completion.model_validate_json(response.http_response.content)
        return Reply(
            body.choices[0].message.content or "",
            body.usage.prompt_tokens,
            body.usage.completion_tokens,
        )

    def _judge(self, err: openai.APIStatusError) -> str:
        """What went wrong, if another attempt may help; otherwise raises.

        The original error is not chained: its body and headers may hold the key.
        """
        code, words = err.status_code, self._providers_words(err)
        failure = f"HTTP {code}: {words}"
        if code in (401, 402, 403, 404) or _is_out_of_quota(err):
            remedy = _REMEDY.get(code, _REMEDY[429])
            self._fatal = ServiceError(
                f"{self.base_url}: {failure} (model '{self.settings.model}'); {remedy}"
            )
            raise self._fatal from None
        wait = _retry_after(err)
        if wait is not None and wait > LONGEST_WAIT_S:
            self._fatal = ServiceError(
                f"{self.base_url}: {failure}. It asks to wait {wait:.0f} s: run again later",
                retryable=True,
            )
            raise self._fatal from None
        if code in (408, 409, 425, 429) or code >= 500:
            return failure
        raise RequestRefused(f"{self.base_url}: {failure}") from None

    def _providers_words(self, err: openai.APIStatusError) -> str:
        body = err.body
        words = body.get("message") if isinstance(body, dict) else None
        text = " ".join(str(words or err.response.text or "no explanation").split())
        return text.replace(self._key, "***")[:400] if self._key != "none" else text[:400]


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _TokenCounts(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    """The part of a reply's body that matters here."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _TokenCounts = Field(default_factory=_TokenCounts)


def _identity(settings: EndpointSettings, base_url: str) -> str:
    """Who answers, for the cache: the embedded endpoint is known by its rules, not by its port."""
    if not settings.is_embedded:
        return base_url
    from tasks.llm.embedded import RULES_VERSION

    return f"embedded/{RULES_VERSION}"


def _is_out_of_quota(err: openai.APIStatusError) -> bool:
    body = err.body if isinstance(err.body, dict) else {}
    codes = {str(body.get("code")).lower(), str(body.get("type")).lower()}
    return err.status_code == 429 and bool(codes & _QUOTA_CODES)


def _retry_after(err: openai.APIStatusError) -> float | None:
    """Seconds the server asks to wait, from a number or a date; None if it does not say."""
    value = err.response.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _backoff(attempt: int) -> float:
    """Doubling waits with jitter, so that many clients do not come back together."""
    return min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.75, 1.0)
