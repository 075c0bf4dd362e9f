"""Replies to data: JSON found in a model's reply, checked against the form that was asked for."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


class Pair(BaseModel):
    """A question and its answer."""

    model_config = ConfigDict(str_strip_whitespace=True, frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)


class Pairs(BaseModel):
    """The reply to a request for questions."""

    pairs: list[Pair]


class Paraphrase(BaseModel):
    """The reply to a request for a paraphrase."""

    model_config = ConfigDict(str_strip_whitespace=True)

    paraphrase: str = Field(min_length=1)


class UnreadableReply(ValueError):
    """A reply that does not hold what was asked for; the message says why."""


_Form = TypeVar("_Form", Pairs, Paraphrase)


def read_reply(text: str, form: type[_Form]) -> _Form:
    """The JSON object of a reply, with or without a code fence or words around it.

    Raises:
        UnreadableReply: If there is no JSON object, or it has another form.
    """
    try:
        return form.model_validate(_find_object(text))
    except ValidationError as err:
        first = err.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnreadableReply(f"{place}: {first['msg']}") from err


def _find_object(text: str) -> Any:
    """The outermost JSON object of the whole text, or else of a code fence in it."""
    faults = []
    for body in (text, *_FENCE.findall(text)):
        start, end = body.find("{"), body.rfind("}")
        if start < 0:
            continue
        if end < start:
            faults.append("it never ends")
            continue
        try:
            return json.loads(body[start : end + 1])
        except (ValueError, RecursionError) as err:  # also digits or depths without end
            faults.append(str(err))
    if not faults:
        raise UnreadableReply("there is no JSON object")
    raise UnreadableReply(f"the JSON is broken ({faults[-1]})")
