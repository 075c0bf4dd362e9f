"""The door to an endpoint: who may send now, by requests at once, rates and pauses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from configs.base import EndpointSettings
from tasks.llm.pace import Rate, Window


class Gate:
    """Lets requests out first come, first served; those asked again go before new ones.

    Args:
        settings: Most at once, requests and tokens a minute.
        clock: Seconds that only ever grow.
    """

    def __init__(self, settings: EndpointSettings, clock: Callable[[], float]) -> None:
        self.window = Window(settings.concurrency)
        self._requests = Rate(settings.request_rate) if settings.request_rate else None
        self._tokens = Rate(settings.tokens_per_minute) if settings.tokens_per_minute else None
        self._clock = clock
        self._paused_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, *, first: bool) -> AsyncIterator[None]:
        """Hold one of the places under way for as long as the block."""
        if self._waiting or not self.window.has_room():
            await self._wait_for_place(first)
        else:
            self.window.under_way += 1
        try:
            yield
        finally:
            self._leave()

    async def wait_for_rates(self, tokens: int) -> None:
        """Wait until the rates allow a request, and no pause is on.

        Args:
            tokens: Expected, of prompt and reply; `correct` them afterwards.
        """
        now = self._clock()
        waits = [rate.reserve(amount, now) for rate, amount in
                 ((self._requests, 1), (self._tokens, tokens)) if rate]  # fmt: skip
        allowed_at = now + max(waits, default=0.0)
        while (left := max(allowed_at, self._paused_until) - self._clock()) > 0:
            await asyncio.sleep(left)

    def correct(self, tokens: int) -> None:
        """So many more tokens than expected (or fewer, if negative) went through."""
        if self._tokens:
            self._tokens.correct(tokens, self._clock())

    def pause(self, seconds: float) -> None:
        """Let nothing out for so long: the endpoint has asked for it."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    async def _wait_for_place(self, first: bool) -> None:
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(ticket)
        else:
            self._waiting.append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.cancelled():
                self._waiting.remove(ticket)
            else:  # let in and cancelled in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        self.window.under_way -= 1
        while self._waiting and self.window.has_room():
            self.window.under_way += 1
            self._waiting.popleft().set_result(None)
