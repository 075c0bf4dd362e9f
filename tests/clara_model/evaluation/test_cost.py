"""What a system costs, measured on systems whose cost is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pytest
import torch

from clara_model import Clara
from clara_model.errors import DataError
from clara_model.evaluation.cost import Spread, measure_cost, pays_off_after, peak_memory, spread
from clara_model.evaluation.systems import Compressed, Memories
from clara_model.evaluation.systems.interface import System


@dataclass(frozen=True)
class Sleeper:
    """Takes 4 ms to the first token, 4 ms for the others, 3 ms to prepare a document."""

    prepared: list[str] = field(default_factory=list)

    def prepare(self, texts: Iterable[str]) -> None:
        for text in set(texts) - set(self.prepared):
            time.sleep(0.003)
            self.prepared.append(text)

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        assert all(text in self.prepared for texts in documents for text in texts)
        time.sleep(0.004 + (0.0 if max_new_tokens == 1 else 0.004))
        return ["a b" for _ in questions]

    def prompt_tokens(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        return [10 * len(texts) for texts in documents]

    def stored_bytes(self, texts: Sequence[str]) -> int:
        return 100 * len(texts)

    def unprepared(self) -> Sleeper:
        return Sleeper()


def test_cost_of_a_system_of_known_speed() -> None:
    system = System("sleeper", Sleeper())
    cost = measure_cost(system, ["q"] * 4, [["a", "b"]] * 4, text_tokens=[200] * 4, repeats=3)
    assert cost.tokens_read == 20
    assert cost.prompt_compression == 10
    assert cost.bytes_per_passage == 100
    assert (cost.questions, cost.documents, cost.first_token_s.n) == (4, 2, 12)
    # Sleeping takes at least as long as asked, and longer on a busy machine.
    assert 0.004 <= cost.first_token_s.median < 0.04
    assert cost.tokens_per_s is None  # no decoder to be seen
    assert 50 < cost.questions_per_s.median <= 500
    assert cost.compress_s is not None
    assert 0.003 <= cost.compress_s.median < 0.03
    assert cost.peak_bytes is None
    assert cost.as_json()["first_token_s"]["n"] == 12


def test_tokens_per_second_are_of_the_steps_after_the_first(
    tiny_clara: Callable[..., Clara], documents: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_clara(stage="stage2")
    monkeypatch.setattr(model.decoder.generation_config, "eos_token_id", -1)  # never ends
    passes: list[int] = []

    def slow(module: torch.nn.Module, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        passes.append(kwargs["inputs_embeds"].shape[1])
        time.sleep(0.02 if passes[-1] == 1 else 0.2)

    model.decoder.base_model.register_forward_pre_hook(slow, with_kwargs=True)
    system = System("tiny", Compressed(model, Memories(model), 4))
    cost = measure_cost(system, ["who?"], [documents[:2]], repeats=1)
    # One question alone: a pass over the prompt, then three over one position each.
    assert passes.count(1) >= 3
    assert cost.tokens_per_s is not None
    assert 15 < cost.tokens_per_s.median <= 50


def test_cost_without_documents_is_refused() -> None:
    with pytest.raises(DataError, match="questions with documents"):
        measure_cost(System("sleeper", Sleeper()), ["q"], [[]])


def test_compressing_pays_off_after_passages_times_compression_over_time_saved() -> None:
    # 100 passages of 0.2 s; a question takes 2.0 s from text, 1.5 s from memories: 20 s / 0.5 s.
    assert pays_off_after(0.2, 100, 2.0, 1.5) == pytest.approx(40)
    assert pays_off_after(0.2, 100, 1.5, 1.5) is None


def test_spread_is_the_median_with_its_quartiles() -> None:
    assert spread([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0, 5)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0, 1)


def test_peak_memory_counts_what_is_held_at_once() -> None:
    def work() -> None:
        first = torch.empty(1 << 20, dtype=torch.uint8)
        del first
        second = torch.empty(3 << 20, dtype=torch.uint8)
        third = torch.empty(1 << 20, dtype=torch.uint8)
        del second, third

    found = peak_memory(work, "cpu")
    assert found is not None
    assert 4 << 20 <= found < 5 << 20
    assert peak_memory(work, None) is None
