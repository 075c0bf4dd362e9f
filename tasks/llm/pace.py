"""How fast an endpoint may be asked: requests at once, per minute, and when it asks to wait.

Everything here is told the time, and waits for nothing: the client does that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime


class Window:
    """Requests that may be under way at once: halved on overload, then growing slowly.

    Additive increase, multiplicative decrease, as in TCP: one more for every windowful of replies.

    Args:
        most: Never more than these; the start.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = float(most)
        self.under_way = 0
        self._halved_at = -math.inf

    def has_room(self) -> bool:
        """Whether one more may begin."""
        return self.under_way < int(self.size)

    def grow(self) -> None:
        """A reply came."""
        self.size = min(float(self.most), self.size + 1.0 / self.size)

    def halve(self, sent_at: float, now: float) -> bool:
        """The endpoint refused for load, or did not answer in time; returns whether it counted.

        A request sent before the last halving says nothing about the window since.
        """
        if sent_at < self._halved_at:
            return False
        self.size = max(1.0, self.size / 2)
        self._halved_at = now
        return True


class Rate:
    """A bound on an amount (requests, tokens) a minute, spread evenly.

    In any t seconds after a request at most `per_minute / 60 * (t + 1)` goes out (one request a
    minute or less: one at a time); a single one may be larger than that.

    Args:
        per_minute: The amount.
    """

    def __init__(self, per_minute: float) -> None:
        self.per_second = per_minute / 60.0
        # What may go at once: a second's worth. Providers look at seconds, not only at minutes.
        self.burst = max(1.0, self.per_second)
        self._level = self.burst
        self._at = -math.inf

    def reserve(self, amount: float, now: float) -> float:
        """Take an amount; returns the seconds to wait before it may be sent."""
        self._refill(now)
        self._level -= amount
        return max(0.0, -self._level / self.per_second)

    def correct(self, amount: float, now: float) -> None:
        """Take more (or give back, if negative) once the true amount is known."""
        self._refill(now)
        self._level = min(self.burst, self._level - amount)

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._level = min(self.burst, self._level + passed * self.per_second)
        self._at = max(self._at, now)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds the server asks to wait; None if it does not say, or nothing that makes sense.

    Args:
        headers: Of the reply, names in lower case: `retry-after-ms`, or `retry-after` as seconds
            or as an HTTP date (RFC 9110, section 10.2.3).
        now: Seconds since the epoch.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        seconds = _number(headers.get(name, ""))
        if seconds is not None:
            return max(0.0, seconds * unit)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        if date.tzinfo is None:  # "-0000": no zone known; HTTP dates are in UTC
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(text: str) -> float | None:
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None
