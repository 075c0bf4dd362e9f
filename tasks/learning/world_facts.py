"""What a document of the made-up world says and what a question asks for, read from the text."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from clara_model import world_words as words


class Asked(NamedTuple):
    """What a question is about: a person or a company, and which of its attributes."""

    kind: str
    attribute: str


def asked_for(question: str) -> Asked | None:
    """What a question asks for; None where it is of no known wording."""
    last = _sentences(question)[-1]  # a description may stand before it
    return next((asked for asked, form in _questions() if form.fullmatch(last)), None)


def facts_in(document: str) -> dict[Asked, str]:
    """Every fact of a document."""
    facts = {}
    for sentence in _sentences(document):
        for asked, form in _statements():
            if found := form.fullmatch(sentence):
                facts[asked] = found["value"]
    return facts


def chance_among(question: str, answer: str, documents: list[str]) -> float | None:
    """How often a document of the right kind, drawn at random, gives the answer.

    None where the question is of no known wording, or no document is of its kind.
    """
    asked = asked_for(question)
    values = [facts_in(document).get(asked) for document in documents] if asked else []
    told = [value for value in values if value is not None]
    return told.count(answer) / len(told) if told else None


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.)\s+", text)


@cache
def _questions() -> list[tuple[Asked, re.Pattern[str]]]:
    return [
        (Asked(kind, attribute), _form(text))
        for kind, attribute, _, questions in _tables()
        for text in questions
    ]


@cache
def _statements() -> list[tuple[Asked, re.Pattern[str]]]:
    return [
        (Asked(kind, attribute), _form(text))
        for kind, attribute, statements, _ in _tables()
        for text in statements
    ]


def _tables() -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    return [
        (kind, attribute, statements, questions)
        for kind, table in (("person", words.PERSON_FACTS), ("company", words.COMPANY_FACTS))
        for attribute, _, statements, questions in table
    ]


def _form(text: str) -> re.Pattern[str]:
    pattern = re.escape(text).replace(r"\{n\}", r"[^.?]+?").replace(r"\{v\}", r"(?P<value>[^.?]+)")
    return re.compile(pattern)
