"""What a step has spent: the ledgers of its endpoints' sections, read before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from configs.base import EndpointSettings
from tasks.llm.spending import Spending, Usage

_FIELDS = ("requests", "prompt_tokens", "completion_tokens")


class Meter:
    """Counts from where the ledgers stand when it is made.

    Args:
        sections: Settings of the endpoints by the names of their ledgers.
        folder: Where the ledgers lie.
    """

    def __init__(self, sections: Mapping[str, EndpointSettings], folder: Path) -> None:
        self._sections = sections
        self._folder = folder
        self._before = {name: self._open(name).total for name in sections}

    def counts(self) -> dict[str, float]:
        """Requests and tokens since then, and US dollars where all prices are known."""
        counts: dict[str, float] = dict.fromkeys(_FIELDS, 0)
        dollars, is_known = 0.0, True
        for name, before in self._before.items():
            ledger = self._open(name)
            spent = {model: _less(used, before[model]) for model, used in ledger.total.items()}
            cost, unknown = ledger.cost(spent)
            dollars, is_known = dollars + cost, is_known and not unknown
            for field in _FIELDS:
                counts[field] += sum(getattr(used, field) for used in spent.values())
        return counts | ({"cost_usd": round(dollars, 6)} if is_known else {})

    def _open(self, name: str) -> Spending:
        return Spending(self._sections[name], name, self._folder)


def _less(now: Usage, before: Usage) -> Usage:
    return Usage(**{field: getattr(now, field) - getattr(before, field) for field in _FIELDS})
