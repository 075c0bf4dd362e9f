"""One request and one reply over HTTP, with every failure judged."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import openai
from pydantic import BaseModel, Field, ValidationError

from clara_model.errors import ServiceError
from configs.base import EndpointSettings
from tasks.llm.cache import Reply
from tasks.llm.faults import Fault, RequestRefused, judge_status, providers_words
from tasks.llm.pace import retry_after
from tasks.llm.tokens import count_messages, count_text

# Whoever is asked to wait longer than this had better come another time.
LONGEST_WAIT_S = 120.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Wire:
    """The connections to an endpoint.

    Args:
        settings: Timeouts, and the name of the variable that holds the key.
        base_url: Where to send requests.
    """

    def __init__(self, settings: EndpointSettings, base_url: str) -> None:
        self._settings = settings
        self._base_url = base_url
        self._key = settings.read_api_key()

    def open(self) -> None:
        """Make ready, within a running event loop."""
        is_local = urlsplit(self._base_url).hostname in _LOOPBACK
        settings = self._settings
        self._openai = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._base_url,
            timeout=openai.Timeout(settings.timeout_s, connect=settings.connect_timeout_s),
            max_retries=0,  # ours, elsewhere: the library would also retry an exhausted quota
            # A proxy from the environment cannot reach this machine's loopback.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if is_local else None,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._openai.close()

    async def send(self, payload: dict[str, Any]) -> Reply:
        """The reply to a chat completion request.

        Raises:
            Fault: If another attempt may succeed.
            RequestRefused: If only this request is at fault.
            ServiceError: If no request can pass, or not soon.
        """
        limit_s = self._settings.timeout_s
        try:
            # On the whole of it: a body that drips in would never hit the limit between two drops.
            async with asyncio.timeout(limit_s + self._settings.connect_timeout_s):
                response = await self._openai.post(
                    "/chat/completions", cast_to=openai.HttpxBinaryResponseContent, body=payload
                )
            return _read(response.content, payload)
        except openai.APIStatusError as err:
            # Not chained: the original error's body and headers may hold the key.
            raise self._judge(err, payload["model"]) from None
        except (openai.APITimeoutError, TimeoutError):
            raise Fault(f"no answer within {limit_s:g} s", overload=True) from None
        except openai.APIConnectionError as err:
            raise Fault(f"{err} ({type(err.__cause__ or err).__name__})") from err
        except ValidationError as err:
            raise Fault(f"not a chat completion ({err.error_count()} faults)") from err

    def _judge(self, err: openai.APIStatusError, model: str) -> Exception:
        words = providers_words(err, self._key)
        wait_s = retry_after(err.response.headers, time.time())
        verdict = judge_status(err, self._settings, words, wait_s)
        if isinstance(verdict, Fault):
            if wait_s is None or wait_s <= LONGEST_WAIT_S:
                return verdict
            asks = f"{self._base_url}: {verdict.words}. It asks to wait {wait_s:.0f} s"
            return ServiceError(f"{asks}: run again later", retryable=True)
        if isinstance(verdict, RequestRefused):
            return RequestRefused(f"{self._base_url}: {verdict}")
        return ServiceError(f"{self._base_url}: {verdict} (model '{model}')")


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _TokenCounts(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    """The part of a reply's body that matters here."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _TokenCounts | None = None


def _read(body: bytes, payload: dict[str, Any]) -> Reply:
    """The reply; what the endpoint does not count is counted here, or no limit would ever hold."""
    completion = _Completion.model_validate_json(body)
    usage = completion.usage or _TokenCounts()
    text = completion.choices[0].message.content or ""
    return Reply(
        text,
        usage.prompt_tokens or count_messages(payload["messages"]),
        usage.completion_tokens or count_text(text),
    )
