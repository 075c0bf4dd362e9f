"""What requests have cost, in this run and before it, and the limits that stop in time."""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clara_model.errors import ConfigError, ServiceError
from configs.base import EndpointSettings

# Our count of a prompt is an estimate; a limit must hold where it is too low.
_MARGIN = 1.5


class BudgetSpent(ServiceError):
    """`max_cost` or `max_requests` is reached; nothing is lost, a higher limit continues."""


@dataclass(slots=True)
class Usage:
    """What one model was asked; `cached` ones were answered from disk and cost nothing."""

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Spending:
    """Counts requests and tokens by model, on disk beside the cache, and holds to the limits.

    The limits are on all runs of a section in a workspace: started again, a stopped run does not
    begin a new budget. A request is let out only if its dearest possible reply still fits.

    Args:
        settings: Limits and prices.
        section: Name of the settings' section, for messages and for the file.
        folder: Where the file goes.
    """

    def __init__(self, settings: EndpointSettings, section: str, folder: Path) -> None:
        self.settings = settings
        self.section = section
        self.run: dict[str, Usage] = defaultdict(Usage)
        self.total: dict[str, Usage] = defaultdict(Usage)
        self.path = folder / f"{section}.jsonl"
        self._reserved = 0.0
        self._under_way = 0
        self._changed = asyncio.Event()
        self._stream: IO[str] | None = None
        self._read()

    def cost(self, usage: dict[str, Usage]) -> tuple[float, list[str]]:
        """US dollars of all models with a known price, and the models without one."""
        known, unknown = 0.0, []
        for model, used in usage.items():
            price = self._cost_of(model, used.prompt_tokens, used.completion_tokens)
            if price is not None:
                known += price
            elif used.prompt_tokens or used.completion_tokens:
                unknown.append(model)
        return known, unknown

    async def admit(self, model: str, prompt_tokens: int, max_tokens: int) -> float:
        """Wait until a request surely fits into what is left; returns what is set aside for it.

        Raises:
            BudgetSpent: If it cannot fit, whatever the requests under way turn out to cost.
            ConfigError: If there is a `max_cost`, but no price to count with.
        """
        cost = self._reservation(model, prompt_tokens, max_tokens)
        while True:
            reached = self._limit_reached(cost)
            if reached is None and self._left() >= cost:
                break
            # Before it says what was spent, what is under way is paid.
            if reached is not None and self._under_way == 0:
                raise self._spent(reached)
            await self._changed.wait()
        self._under_way += 1
        self._reserved += cost
        for usage in (self.run[model], self.total[model]):
            usage.requests += 1
        self._append({"model": model, "requests": 1})
        return cost

    def release(self, reserved: float) -> None:
        """A request has ended, well or badly: what was set aside for it is free again."""
        self._under_way -= 1
        self._reserved = max(0.0, self._reserved - reserved)
        self._changed.set()
        self._changed = asyncio.Event()

    def pay(self, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        """A reply came."""
        for usage in (self.run[model], self.total[model]):
            usage.prompt_tokens += prompt_tokens
            usage.completion_tokens += completion_tokens
        self._append({"model": model, "prompt": prompt_tokens, "completion": completion_tokens})

    def close(self) -> None:
        """Close the file; it is opened again when something is counted."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def describe(self, usage: dict[str, Usage]) -> str:
        """Requests, tokens and cost by model, in words."""
        return "; ".join(
            f"{model}: {used.requests:,} requests, {_short(used.prompt_tokens)} tokens in, "
            f"{_short(used.completion_tokens)} out, {self._price_words(model, used)}"
            for model, used in usage.items()
        )

    def note(self) -> str:
        """The running count, short enough for a progress line."""
        cost, unknown = self.cost(self.run)
        tokens = sum(u.prompt_tokens + u.completion_tokens for u in self.run.values())
        words = f"{_short(tokens)} tokens"
        if unknown:
            return f"{words}, cost unknown"
        return words if cost == 0 else f"{words}, {cost:.2f} USD"

    def counts(self) -> dict[str, float]:
        """For the manifest and MLflow: this run's requests and tokens, costs where all are known.

        Single models are told apart where there are several.
        """
        counts: dict[str, float] = {
            field: sum(getattr(used, field) for used in self.run.values())
            for field in Usage.__slots__
        }
        for name, usage in (("cost_usd", self.run), ("cost_usd_all_runs", self.total)):
            cost, unknown = self.cost(usage)
            if not unknown:
                counts[name] = round(cost, 6)
        if len(self.run) > 1:
            for model, used in self.run.items():
                counts[f"{model}/prompt_tokens"] = used.prompt_tokens
                counts[f"{model}/completion_tokens"] = used.completion_tokens
                price = self._cost_of(model, used.prompt_tokens, used.completion_tokens)
                if price is not None:
                    counts[f"{model}/cost_usd"] = round(price, 6)
        return counts

    def _reservation(self, model: str, prompt_tokens: int, max_tokens: int) -> float:
        """The most that a request may cost; 0 where no limit asks for it."""
        if self.settings.max_cost is None:
            return 0.0
        cost = self._cost_of(model, round(prompt_tokens * _MARGIN), max_tokens)
        if cost is None:
            raise ConfigError(
                f"{self.section}.max_cost: the price of '{model}' is not known; set "
                f"{self.section}.prices, e.g. {{{model}: {{prompt: 0.4, completion: 1.6}}}} "
                "(US dollars per million tokens), or limit max_requests instead"
            )
        return cost

    def _limit_reached(self, cost: float) -> str | None:
        """The limit that has no room for another request, even if those under way were free."""
        limit, most = self.settings.max_requests, self.settings.max_cost
        if limit is not None and sum(used.requests for used in self.total.values()) >= limit:
            return f"max_requests {limit:,}: no further requests"
        if most is not None and self._left() + self._reserved < cost:
            return f"max_cost {most:g} USD: no room for a request of up to {cost:.4f} USD"
        return None

    def _left(self) -> float:
        most = self.settings.max_cost
        return math.inf if most is None else most - self.cost(self.total)[0] - self._reserved

    def _cost_of(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        price = self.settings.price_of(model)
        if price is None:
            return None
        return (prompt_tokens * price.prompt + completion_tokens * price.completion) / 1e6

    def _price_words(self, model: str, used: Usage) -> str:
        cost = self._cost_of(model, used.prompt_tokens, used.completion_tokens)
        return "price unknown" if cost is None else f"{cost:.4f} USD"

    def _spent(self, reached: str) -> BudgetSpent:
        return BudgetSpent(
            f"{self.section}.{reached}. Spent in this workspace so far: "
            f"{self.describe(self.total) or 'nothing'}. Every answer is kept: raise "
            f"{self.section}.{reached.partition(' ')[0]} and run the same command again, it "
            "continues where this run stopped"
        )

    def _read(self) -> None:
        if not self.path.is_file():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                used = self.total[str(entry["model"])]
                used.requests += int(entry.get("requests", 0))
                used.prompt_tokens += int(entry.get("prompt", 0))
                used.completion_tokens += int(entry.get("completion", 0))
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill

    def _append(self, entry: dict[str, str | int]) -> None:
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("a", encoding="utf-8")
        # One short write to the end: whole, or torn by a kill; the next one begins a new line.
        self._stream.write(f"\n{json.dumps(entry)}")
        self._stream.flush()


def _short(number: int) -> str:
    """12,345,678 as 12.3M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
