"""What the proof has to reach, and when it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.storage import Record

# (part of the plan, set of questions, metric)
Score = tuple[str, str, str]


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Args:
        number: Of the group that it belongs to.
        what: What is measured.
        asked: What is asked for, in words.
        score: Where the value comes from.
        at_least: Lowest value that meets it.
        at_most: Highest value that meets it.
        above_zero: Whether the whole interval must lie above 0.
        against: A second score on the same questions.
        compare: How the two are compared.
    """

    number: int
    what: str
    asked: str
    score: Score
    at_least: float | None = None
    at_most: float | None = None
    above_zero: bool = False
    against: Score | None = None
    compare: Literal["difference", "ratio"] = "difference"


_CHANCE = "at chance (0.05; taken as at most 0.10)"

TARGETS = (
    Target(1, "Reader: EM with the gold document in text", "at least 0.95",
           ("reader", "name", "gold_text"), at_least=0.95),
    Target(1, "Reader: EM without documents", "at most 0.06",
           ("reader", "name", "closed_book"), at_most=0.06),
    Target(2, "Stage 1 at rate 4: EM, gold document compressed", "at least 0.95",
           ("stage1-r4", "name", "em"), at_least=0.95),
    Target(2, "Stage 1 at rate 8: EM, gold document compressed", "at least 0.95",
           ("stage1-r8", "name", "em"), at_least=0.95),
    Target(2, "Stage 1 at rate 16: EM, gold document compressed", "at least 0.80",
           ("stage1-r16", "name", "em"), at_least=0.80),
    Target(3, "By alias, before stage 3: Recall@1 among 20 hard candidates", "at most 0.65",
           ("stage3", "alias", "before.recall@1"), at_most=0.65),
    Target(3, "By alias, after stage 3: Recall@1", "at least 0.95",
           ("stage3", "alias", "recall@1"), at_least=0.95),
    Target(3, "By alias, answers shuffled: Recall@1", _CHANCE,
           ("stage3-control", "alias", "recall@1"), at_most=0.10),
    Target(3, "By name, before stage 3: Recall@1 among 20 hard candidates", "at most 0.65",
           ("stage3", "name", "before.recall@1"), at_most=0.65),
    Target(3, "By name, after stage 3: Recall@1", "at least 0.95",
           ("stage3", "name", "recall@1"), at_least=0.95),
    Target(3, "By name, answers shuffled: Recall@1", _CHANCE,
           ("stage3-control", "name", "recall@1"), at_most=0.10),
    Target(3, "End-to-end EM as a share of stage 1's", "at least 0.95",
           ("stage3", "name", "em"), at_least=0.95, against=("stage1", "name", "em"),
           compare="ratio"),
    Target(4, "Questions by alias: Recall@5 of stage 3 minus BM25's", "interval above 0",
           ("stage3", "alias", "recall@5"), above_zero=True,
           against=("stage3", "alias", "bm25.recall@5")),
    Target(4, "Questions by description: Recall@5 of stage 3 minus BM25's", "interval above 0",
           ("stage3", "described", "recall@5"), above_zero=True,
           against=("stage3", "described", "bm25.recall@5")),
    Target(5, "Five documents, one right: EM in text", "at least 0.80",
           ("reader", "several", "text"), at_least=0.80),
    Target(5, "Five documents, one right: EM compressed", "at least 0.80",
           ("five-docs", "several", "em"), at_least=0.80),
    Target(5, "for comparison: a random document of the right kind", "",
           ("reader", "several", "random")),
    Target(6, "for comparison: two hops in text, all the retrievable documents given", "",
           ("reader", "two_hop", "text")),
    Target(6, "Two hops: both gold documents among the top 5", "at least 0.80",
           ("two-hop", "two_hop", "both@5"), at_least=0.80),
    Target(6, "Two hops: EM", "at least 0.70", ("two-hop", "two_hop", "em"), at_least=0.70),
    Target(6, "Two hops: EM minus EM without the first gold document", "interval above 0",
           ("two-hop", "two_hop", "em"), above_zero=True,
           against=("two-hop", "two_hop", "em_without_0")),
    Target(6, "Two hops: EM minus EM without the second gold document", "interval above 0",
           ("two-hop", "two_hop", "em"), above_zero=True,
           against=("two-hop", "two_hop", "em_without_1")),
    Target(6, "for comparison: a random company that the question's hint fits", "",
           ("two-hop", "two_hop", "guess")),
)  # fmt: skip


def is_met(target: Target, interval: Record | None) -> bool | None:
    """Whether the value reaches the target; None where nothing was measured or asked."""
    if interval is None or not target.asked:
        return None
    if target.above_zero:
        return bool(interval["low"] > 0)
    reaches = target.at_least is None or interval["value"] >= target.at_least
    stays = target.at_most is None or interval["value"] <= target.at_most
    return bool(reaches and stays)
