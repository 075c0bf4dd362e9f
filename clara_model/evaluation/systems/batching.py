"""Work in batches of like length, in halves where memory does not suffice, in a fixed order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from clara_model.errors import ClaraError, DataError
from clara_model.training.micro_batch import free_memory, is_out_of_memory

log = logging.getLogger(__name__)

T = TypeVar("T")


def in_batches(
    lengths: Sequence[Any],
    work: Callable[[list[int]], list[T]],
    batch_size: int | None,
    *,
    where: str,
) -> list[T]:
    """What `work` gives for every item, in the items' order.

    Which items share a batch follows from lengths and batch size alone, so two runs pad, and
    round, alike. A batch that does not fit in memory is halved, and so are those after it.

    Args:
        lengths: One sortable value an item: items of like length are worked on together. Tuples
            whose first entry differs never share a batch.
        work: Called with items' numbers; gives one value for each.
        batch_size: Most items at a time; None for all.
        where: What is done, for the log and the error.

    Raises:
        ClaraError: If a single item does not fit in memory.
        DataError: If `work` gives another number of values.
    """
    found: dict[int, T] = {}
    limit = batch_size or max(len(lengths), 1)
    left = _partition(lengths, limit)
    while left:
        batch = left.pop(0)
        failure = ""
        try:
            values = work(batch)
        except (RuntimeError, MemoryError) as err:
            if not (isinstance(err, MemoryError) or is_out_of_memory(err)):
                raise
            failure = next(iter(str(err).splitlines()), type(err).__name__)
        if failure:
            # Only outside the handler is the failed attempt's memory free: its traceback held it.
            free_memory()
            limit = min(limit, len(batch)) // 2
            if limit == 0:
                raise ClaraError(
                    f"{where}: out of memory with a single item; use a larger GPU, dtype bf16, "
                    f"fewer or shorter documents ({failure})"
                )
            log.warning("%s: out of memory with %d items; trying %d", where, len(batch), limit)
            left = [part for whole in (batch, *left) for part in _cut(whole, limit)]
            continue
        if len(values) != len(batch):
            raise DataError(f"{where}: {len(values)} results for {len(batch)} items")
        found.update(zip(batch, values, strict=True))
    return [found[i] for i in range(len(lengths))]


def _partition(lengths: Sequence[Any], size: int) -> list[list[int]]:
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    groups: dict[Any, list[int]] = {}
    for i in order:
        group = lengths[i][0] if isinstance(lengths[i], tuple) else None
        groups.setdefault(group, []).append(i)
    return [part for group in groups.values() for part in _cut(group, size)]


def _cut(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
