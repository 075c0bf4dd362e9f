"""What a system costs: tokens read, time to the first token, speed, memory, and what is stored.

Everything is timed after a warm-up, synchronised where there is a GPU, and given as a median with
its quartiles. Compressing is timed apart from answering: it happens once a passage.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from clara_model.errors import DataError
from clara_model.evaluation.pay_off import pays_off_after as pays_off_after
from clara_model.evaluation.systems.interface import Generator, System

_ALONE = 8  # questions that are also asked one by one


@dataclass(frozen=True)
class Spread:
    """A median, the quartiles around it, and of how many measurements."""

    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Cost:
    """What answering costs.

    Args:
        system: Its name.
        questions: How many were asked.
        documents: Given with each, on average.
        tokens_read: Positions that the generator reads, a question.
        prompt_compression: Positions of the full text's prompts, over these; None where nobody
            said how many those are.
        first_token_s: Seconds from a question to the first token of its answer, one at a time,
            tokenisation and reading of memories included.
        tokens_per_s: Tokens of an answer after its first, one question at a time; None where there
            is no such token, or the decoder cannot be seen.
        questions_per_s: All questions together, in the system's batches.
        peak_bytes: Most memory above the loaded model while all are answered; None where it
            cannot be seen (an endpoint).
        bytes_per_passage: What is kept of a passage to answer from it.
        compress_s: Seconds to compress a passage, in batches; None where nothing is compressed.
    """

    system: str
    questions: int
    documents: float
    tokens_read: float
    prompt_compression: float | None
    first_token_s: Spread
    tokens_per_s: Spread | None
    questions_per_s: Spread
    peak_bytes: int | None
    bytes_per_passage: float
    compress_s: Spread | None

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return asdict(self)


def measure_cost(
    system: System,
    questions: list[str],
    documents: Sequence[Sequence[str]],
    *,
    device: str | None = None,
    text_tokens: Sequence[int] | None = None,
    repeats: int = 5,
) -> Cost:
    """Measure a system on questions and the documents given with them.

    Args:
        system: What is measured; its documents are prepared first.
        questions: The questions.
        documents: Those of each question.
        device: "cuda" or "cpu" for peak memory there; None where the model is elsewhere.
        text_tokens: `prompt_tokens` of the full text, for the compression of the prompt.
        repeats: Timed rounds.

    Raises:
        DataError: If there is no question, or no document.
    """
    passages = list(dict.fromkeys(text for texts in documents for text in texts))
    if not questions or not passages:
        raise DataError("cost needs questions with documents; give at least one of each")
    generator = system.generator
    generator.prepare(passages)
    read = generator.prompt_tokens(questions, documents)
    system.answer(questions, documents)  # the warm-up
    first, speeds = _one_by_one(system, questions[:_ALONE], documents[:_ALONE], repeats, device)
    together = timed(lambda: system.answer(questions, documents), repeats, device)
    return Cost(
        system=system.name,
        questions=len(questions),
        documents=statistics.mean(map(len, documents)),
        tokens_read=statistics.mean(read),
        prompt_compression=sum(text_tokens) / sum(read) if text_tokens else None,
        first_token_s=spread(first),
        tokens_per_s=spread(speeds) if speeds else None,
        questions_per_s=spread([len(questions) / s for s in together]),
        peak_bytes=peak_memory(lambda: system.answer(questions, documents), device),
        bytes_per_passage=generator.stored_bytes(passages) / len(passages),
        compress_s=_compression(generator, passages, repeats, device),
    )


def timed(work: Callable[[], object], repeats: int, device: str | None) -> list[float]:
    """Seconds of each of some runs, without a warm-up."""
    return [_seconds(work, device) for _ in range(repeats)]


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def peak_memory(work: Callable[[], object], device: str | None) -> int | None:
    """Most bytes of tensors held at once while something runs, above those held before it.

    On a GPU torch's own count; on a CPU the sum over the profiler's record of every allocation,
    which does not depend on what the allocator keeps back.
    """
    if device is None:
        return None
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def _one_by_one(
    system: System,
    questions: Sequence[str],
    documents: Sequence[Sequence[str]],
    repeats: int,
    device: str | None,
) -> tuple[list[float], list[float]]:
    """Seconds to each first token, and tokens a second after it of each round."""
    decoder = _decoder(system.generator)
    first: list[float] = []
    speeds: list[float] = []
    for _ in range(repeats):
        steps: list[float] = []
        for question, texts in zip(questions, documents, strict=True):
            alone = partial(system.answer, [question], [texts])
            first.append(_seconds(partial(alone, 1), device))
            if decoder is not None:
                steps += _step_seconds(alone, decoder, device)
        if steps:
            speeds.append(len(steps) / sum(steps))
    return first, speeds


def _decoder(generator: Generator) -> torch.nn.Module | None:
    """The transformer that writes, where it runs in this process."""
    inner = getattr(generator, "generator", generator)  # behind a compressor of text
    decoder = getattr(getattr(inner, "model", None), "decoder", None)
    return getattr(decoder, "base_model", None)


def _step_seconds(
    work: Callable[[], object], decoder: torch.nn.Module, device: str | None
) -> list[float]:
    """Seconds from one pass of the decoder to the next, of passes over a single position.

    Timed within one run: a whole run less another's first token is the difference of two large
    numbers, and mostly noise.
    """
    ends: list[tuple[float, int]] = []

    def note(module: torch.nn.Module, inputs: object, output: Any) -> None:
        _synchronise(device)
        ends.append((time.perf_counter(), output.last_hidden_state.shape[1]))

    hook = decoder.register_forward_hook(note)
    try:
        work()
    finally:
        hook.remove()
    return [end - before for (before, _), (end, length) in pairwise(ends) if length == 1]


def _compression(
    generator: Generator, passages: list[str], repeats: int, device: str | None
) -> Spread | None:
    if generator.unprepared() is generator:
        return None
    # A copy a run: what is prepared stays prepared.
    copies = [generator.unprepared() for _ in range(repeats)]
    seconds = [_seconds(partial(copy.prepare, passages), device) for copy in copies]
    return spread([s / len(passages) for s in seconds])


def _seconds(work: Callable[[], object], device: str | None) -> float:
    _synchronise(device)
    started = time.perf_counter()
    work()
    _synchronise(device)
    return time.perf_counter() - started


def _synchronise(device: str | None) -> None:
    if device is not None and device.startswith("cuda"):
        torch.cuda.synchronize()
