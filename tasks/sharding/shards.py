"""A step's items cut into shards, each done somewhere and left on disk, and taken in by the step.

A worker leaves a shard as one file that appears whole or not at all, so that it does not matter
who does it, how often it is tried, or who dies: the step's journal gets every item once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from configs.base import EndpointSettings
from tasks.progress import progress
from tasks.storage import Journal, Record, hash_json, read_records, write_jsonl

log = logging.getLogger(__name__)

T = TypeVar("T")
_Endpoint = TypeVar("_Endpoint", bound=EndpointSettings)


@dataclass(frozen=True)
class FanOut:
    """Who does shards.

    Args:
        run: Called with a name, a function that can be pickled, and its arguments; yields what the
            function returns for each, in the order in which they end.
        shard_size: Items a shard.
        workers: Shards under way at once.
    """

    run: Callable[[str, Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
    shard_size: int
    workers: int


@dataclass(frozen=True)
class Done:
    """What was done of a shard: a record an item, by the items' keys, and counts to be summed."""

    records: Mapping[str, Record]
    counts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Shard(Generic[T]):
    items: tuple[T, ...]
    path: Path


def cut(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """Items in their order, `size` at a time."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def take_in(journal: Journal) -> None:
    """Add to a journal what workers left of its step when an earlier run was cut off."""
    folder = _folder(journal)
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        if path.name.startswith(_prefix(journal)):
            _take(journal, path)
        else:  # of other inputs or settings
            path.unlink()


def run_shards(
    name: str,
    items: Mapping[str, T],
    work: Callable[[tuple[T, ...]], Done],
    journal: Journal,
    fan_out: FanOut,
) -> dict[str, float]:
    """Have items done in shards; their records are in the journal as soon as a shard ends.

    Args:
        name: Of the step, for progress and for the task runs.
        items: By the keys of their records: what is not in the journal.
        work: Does one shard, in a worker process or on another machine that sees the same files
            under the same paths. It has to be possible to pickle it.
        journal: The step's, open. Call `take_in` before.
        fan_out: Who does them.

    Returns:
        The sums of the shards' counts.
    """
    keys = cut(list(items), fan_out.shard_size)
    folder, prefix = _folder(journal), _prefix(journal)
    shards = [
        _Shard(tuple(items[key] for key in part), folder / f"{prefix}{hash_json(part)[:16]}.jsonl")
        for part in keys
    ]
    counts: Counter[str] = Counter()
    with progress(name, len(items)) as advance:
        for path, size, own in fan_out.run(name, partial(_do, work), shards):
            _take(journal, path)
            counts.update(own)
            advance(size, note=f"{len(shards)} shards")
    return dict(counts)


def share_of_endpoint(settings: _Endpoint, fan_out: FanOut) -> _Endpoint:
    """Settings for each of the workers, so that all together keep to the rates."""
    share = {
        "concurrency": settings.concurrency,
        "requests_per_minute": settings.request_rate,
        "tokens_per_minute": settings.tokens_per_minute,
    }
    each = {name: max(rate // fan_out.workers, 1) for name, rate in share.items() if rate}
    return settings.model_copy(update=each)


def total_usage(usage: Mapping[str, float], ever: Mapping[str, float]) -> dict[str, float]:
    """What shards asked for together, and what all runs did.

    Args:
        usage: The sums of the shards' counts; empty if nothing was left to do.
        ever: Counts of a client that has asked nothing yet.
    """
    return dict(usage or ever) | {key: ever[key] for key in ever if key.endswith("_all_runs")}


def may_be_shared(name: str, settings: EndpointSettings) -> bool:
    """Whether several workers may ask an endpoint: only one process can keep to a budget."""
    if settings.max_cost is None and settings.max_requests is None:
        return True
    log.warning(
        "%s: asked from this process alone, without execution.task_runner: several workers "
        "cannot keep to one max_cost or max_requests",
        name,
    )
    return False


def _do(work: Callable[[tuple[T, ...]], Done], shard: _Shard[T]) -> tuple[Path, int, Any]:
    """In the worker: one shard, unless an earlier try has done it."""
    counts: Mapping[str, float] = {}
    if not shard.path.is_file():
        done = work(shard.items)
        write_jsonl(
            shard.path, ({"key": key, "record": record} for key, record in done.records.items())
        )
        counts = done.counts
    return shard.path, len(shard.items), dict(counts)


def _take(journal: Journal, path: Path) -> None:
    entries: Iterable[Record] = read_records(path)
    for entry in entries:
        journal.add(entry["key"], entry["record"])
    path.unlink()


def _folder(journal: Journal) -> Path:
    return journal.path.with_suffix(".shards").absolute()


def _prefix(journal: Journal) -> str:
    return f"{journal.fingerprint[:16]}-"
