"""Lengths in tokens of passages, questions and answers: counted on a sample, with its histogram."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tasks.storage import Record
from tasks.workspace import Workspace

CountTokens = Callable[[list[str]], list[int]]

_SAMPLE = 20_000  # texts of a kind that are counted; the rest would tell the same
_BARS = 24


def token_counter(workspace: Workspace) -> tuple[CountTokens, str]:
    """A count of tokens by the workspace's tokenizer, or of words where there is none; its unit."""
    path = workspace.models / "tokenizer" / "tokenizer.json"
    if not path.is_file():
        return (lambda texts: [len(text.split()) for text in texts]), "words"
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(path))
    return (
        lambda texts: [len(e.ids) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    ), "tokens"


class Lengths:
    """Samples of texts by what they are, drawn evenly from all that pass by."""

    def __init__(self, seed: int, counter: tuple[CountTokens, str]) -> None:
        self._count, self.unit = counter
        self._random = random.Random(f"lengths {seed}")
        self._texts: dict[str, list[str | int]] = {}
        self._seen: dict[str, int] = {}

    def see(self, purpose: str, row: Record) -> None:
        """Take questions and answers where each stands once: in stage 1, and in the benchmark."""
        if purpose == "stage 1" and row.get("data_type") == "paraphrase":
            for text in row["answers"]:
                self.note("paraphrase", text)
        elif purpose == "stage 1":
            for question, answer in zip(row["question"], row["answers"], strict=False):
                self.note("question", question)
                self.note("answer", answer)
        elif purpose == "stage 2" and row.get("answer") != row.get("gold_answer"):
            self.note("teacher's answer", row["answer"])
        elif purpose == "benchmark":
            self.note("benchmark question", row["question"])
            self.note("benchmark answer", row["gold_answer"])

    def note(self, what: str, text: str | int) -> None:
        """Take a text, or a number of tokens that is known."""
        seen = self._seen[what] = self._seen.get(what, 0) + 1
        sample = self._texts.setdefault(what, [])
        if len(sample) < _SAMPLE:
            sample.append(text)
        elif (place := self._random.randrange(seen)) < _SAMPLE:
            sample[place] = text

    def summary(self) -> list[Record]:
        """For each kind of text: number, least, median, mean, 95th percentile, most, histogram."""
        first = ("passage", "question", "answer", "paraphrase")
        names = sorted(self._texts, key=lambda w: (first.index(w) if w in first else 9, w))
        return [self._summary(what) for what in names]

    def _summary(self, what: str) -> Record:
        sample = self._texts[what]
        texts = [text for text in sample if isinstance(text, str)]
        known = [text for text in sample if isinstance(text, int)]
        sizes = sorted(known + (self._count(texts) if texts else []))
        low, high = sizes[0], sizes[-1]
        width = max(1, -(-(high - low + 1) // _BARS))
        bars = [0] * ((high - low) // width + 1)
        for size in sizes:
            bars[(size - low) // width] += 1
        return {
            "what": what, "unit": self.unit, "number": self._seen[what], "counted": len(sizes),
            "min": low, "median": sizes[len(sizes) // 2],
            "mean": round(sum(sizes) / len(sizes), 1),
            "p95": sizes[min(len(sizes) - 1, int(0.95 * len(sizes)))], "max": high,
            "histogram": {"start": low, "width": width, "counts": bars},
        }  # fmt: skip
