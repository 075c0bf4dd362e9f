"""What documents and questions of the world say, read from their text alone."""

from __future__ import annotations

import re
from itertools import pairwise

from clara_model import world_words as words

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[^.]+\.")
_GIVEN, _FAMILY = frozenset(words.GIVEN_NAMES), frozenset(words.FAMILY_NAMES)
_FIRST, _KIND = frozenset(words.COMPANY_NAMES), frozenset(words.COMPANY_KINDS)


def sentences_of(document: str) -> list[str]:
    """The sentences, with the spaces before them: joined, they are the document."""
    return _SENTENCE.findall(document)


def names_in(text: str) -> list[str]:
    """Full names, in the order of the text."""
    return [
        f"{a} {b}"
        for a, b in pairwise(_WORD.findall(text))
        if (a in _GIVEN and b in _FAMILY) or is_company(f"{a} {b}")
    ]


def is_company(name: str) -> bool:
    """Whether the full name is a company's."""
    first, second = name.split()
    return first in _FIRST and second in _KIND


def title_of(document: str) -> str:
    """Whom the document is about: the one name that stands in every sentence.

    Raises:
        ValueError: If it is not a document of the world.
    """
    named = [set(names_in(sentence)) for sentence in sentences_of(document)]
    common = set.intersection(*named) if named else set()
    if len(common) != 1:
        raise ValueError(f"no single name stands in every sentence of {document[:80]!r}")
    return common.pop()


def states(text: str, value: str) -> bool:
    """Whether the text has the value as a word or words of its own."""
    return re.search(rf"\b{re.escape(value)}\b", text) is not None
