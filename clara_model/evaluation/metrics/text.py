"""What answer metrics are made of: normalised text, and overlap of token lists.

Families differ in small ways that change scores (order of steps, regular-expression engine,
Unicode form), so each family in `answers.py` names the normalisation it uses.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from typing import NamedTuple

import regex

_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = r"\b(?:a|an|the)\b"
_STDLIB_ARTICLES = re.compile(_ARTICLES)
# The `regex` package counts combining marks as letters, `re` does not: "á" in two code points
# loses its "a" with one and keeps it with the other. Families that use it are scored with it.
_REGEX_ARTICLES = regex.compile(_ARTICLES)


class Overlap(NamedTuple):
    """Precision, recall and F1 of two bags of tokens."""

    f1: float
    precision: float
    recall: float


NO_OVERLAP = Overlap(0.0, 0.0, 0.0)


def normalize(text: str) -> str:
    """SQuAD's form: lower case, no ASCII punctuation, no articles, single spaces."""
    text = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(_STDLIB_ARTICLES.sub(" ", text).split())


def normalize_with_regex(text: str) -> str:
    """The same steps with the `regex` package's word boundaries."""
    text = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(_REGEX_ARTICLES.sub(" ", text).split())


def normalize_decomposed(text: str) -> str:
    """SQuAD's form after splitting accents from their letters (NFD)."""
    return normalize(unicodedata.normalize("NFD", text))


def normalize_keeping_articles(text: str) -> str:
    """Lower case, no ASCII punctuation, single spaces."""
    return " ".join(text.lower().translate(_ASCII_PUNCTUATION).split())


def overlap(prediction: list[str], gold: list[str]) -> Overlap:
    """Precision, recall and F1 of the tokens that both lists hold, counted with repetition."""
    common = sum((Counter(prediction) & Counter(gold)).values())
    if common == 0:
        return NO_OVERLAP
    precision, recall = common / len(prediction), common / len(gold)
    return Overlap(2 * precision * recall / (precision + recall), precision, recall)


def holds_run(tokens: list[str], run: list[str]) -> bool:
    """Whether `run` stands in `tokens` as neighbours in order; an empty run always does."""
    width = len(run)
    return any(tokens[i : i + width] == run for i in range(len(tokens) - width + 1))
