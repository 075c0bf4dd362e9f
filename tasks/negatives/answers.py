"""Whether a passage holds an answer: decides which passages cannot be negatives."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

import regex

from clara_model.retrieval import CJK, search_tokens

_TOKEN = regex.compile(rf"(?V1)[{CJK}]|[[\p{{L}}\p{{N}}\p{{M}}]--[{CJK}]]+")
_THOUSANDS = regex.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ARTICLES = frozenset(("a", "an", "the"))
# Answers that say nothing about which passage they came from.
_CLOSED = frozenset(
    tuple(words.split())
    for words in (
        "yes", "no", "true", "false", "none", "both", "neither", "unknown", "not stated",
        "是", "否", "不 是", "有", "没 有", "对", "错", "能", "不 能", "无", "是 的", "未 知",
    )
)  # fmt: skip


# A passage stands in many rows; the bound keeps the memory of large corpora in check.
@lru_cache(maxsize=16_384)
def plain_text(text: str) -> str:
    """Text as spaced tokens without case and punctuation, a space at either end.

    Each CJK character is a token and thousands separators go, so that an answer is held by a
    passage exactly if its plain text is a substring of the passage's: never inside a Latin word or
    a longer number, anywhere in CJK text.
    """
    text = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).casefold())
    return f" {' '.join(_TOKEN.findall(text))} "


def plain_answer(answer: str) -> str:
    """The plain text of an answer, without leading articles."""
    tokens = plain_text(answer).split()
    while len(tokens) > 1 and tokens[0] in _ARTICLES:
        tokens = tokens[1:]
    return f" {' '.join(tokens)} "


def is_closed(answer: str) -> bool:
    """Whether an answer (yes, no, 是, ...) is nothing one could look for in a passage."""
    tokens = tuple(plain_answer(answer).split())
    return not tokens or tokens in _CLOSED


def is_short(answer: str) -> bool:
    """Whether an answer stands in many passages by chance: one CJK sign, at most two letters."""
    return len(plain_answer(answer).replace(" ", "")) <= (1 if _holds_cjk(answer) else 2)


def answer_test(question: str, answer: str) -> Callable[[str, str], bool]:
    """A test of passages: may this one answer the question, by the words it holds?

    A closed answer (`is_closed`) is held by no passage: only nearness to the positive can tell. A
    short one (`is_short`: "7", "茶") counts only in a passage that also shares at least half of the
    question's search terms. Any other answer counts wherever it stands.

    Returns:
        A function of a passage's `plain_text` and its text.
    """
    wanted, closed, short = plain_answer(answer), is_closed(answer), is_short(answer)
    asked = set(search_tokens(question))

    def holds(plain: str, text: str) -> bool:
        if closed or wanted not in plain:
            return False
        return not short or 2 * len(asked.intersection(search_tokens(text))) >= len(asked)

    return holds


def _holds_cjk(text: str) -> bool:
    return regex.search(rf"[{CJK}]", text) is not None
