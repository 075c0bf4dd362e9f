"""Batches of like length, halved where memory does not suffice."""

from __future__ import annotations

import pytest
import torch

from clara_model.errors import ClaraError, DataError
from clara_model.evaluation.systems.batching import in_batches


def test_results_stand_in_the_order_of_the_items_and_batches_in_that_of_lengths() -> None:
    seen: list[list[int]] = []

    def work(batch: list[int]) -> list[str]:
        seen.append(batch)
        return [f"item {i}" for i in batch]

    found = in_batches([9, 1, 5, 1, 7], work, 2, where="test")
    assert found == ["item 0", "item 1", "item 2", "item 3", "item 4"]
    assert seen == [[1, 3], [2, 4], [0]]


def test_items_of_different_groups_never_share_a_batch() -> None:
    seen: list[list[int]] = []

    def work(batch: list[int]) -> list[int]:
        seen.append(batch)
        return batch

    in_batches([(2, 1), (1, 5), (2, 0), (1, 1)], work, None, where="test")
    assert seen == [[3, 1], [2, 0]]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError], ids=["GPU", "CPU"])
def test_batch_that_does_not_fit_is_halved_and_every_item_still_answered(
    error: type[BaseException],
) -> None:
    sizes: list[int] = []

    def work(batch: list[int]) -> list[str]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise error("out of memory")
        return [f"answer {i}" for i in batch]

    assert in_batches([1] * 7, work, 5, where="test") == [f"answer {i}" for i in range(7)]
    assert sizes == [5, 2, 2, 1, 2]


def test_single_item_that_does_not_fit_is_an_error_and_no_empty_answer() -> None:
    def work(batch: list[int]) -> list[str]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ClaraError, match=r"answering: out of memory with a single item.*dtype"):
        in_batches([1, 1], work, 2, where="answering")


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    def work(batch: list[int]) -> list[str]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches([1, 1], work, 2, where="test")


def test_missing_results_are_an_error() -> None:
    with pytest.raises(DataError, match="1 results for 2 items"):
        in_batches([1, 1], lambda batch: ["only one"], 2, where="test")
