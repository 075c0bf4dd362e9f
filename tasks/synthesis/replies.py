"""Replies to data: JSON found in a model's reply, checked against the form that was asked for."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)

Text = Annotated[str, Field(min_length=1)]


class Form(BaseModel):
    """Base of what may be asked for; keys beside the expected ones are let pass."""

    model_config = ConfigDict(str_strip_whitespace=True, frozen=True)


class Facts(Form):
    """Every fact of a passage, one short sentence each."""

    facts: list[Text]


class Question(Form):
    """A question, and the numbers of the listed facts that answer it."""

    question: Text
    facts: list[int] = []


class Questions(Form):
    """The reply to a request for questions."""

    questions: list[Question]


class Answer(Form):
    """The answer to a numbered question; empty where the passage does not say."""

    number: int
    answer: str


class Answers(Form):
    """The reply to a request for answers."""

    answers: list[Answer]


class Verdict(Form):
    """Whether a numbered pair is right, and why not."""

    number: int
    correct: bool
    reason: str = ""


class Verdicts(Form):
    """The reply to a request to verify pairs."""

    verdicts: list[Verdict]


class Coverage(Form):
    """Numbers of the facts that pairs cover, and facts that nobody had listed."""

    covered: list[int]
    missing: list[Text] = []


class Paraphrase(Form):
    """The reply to a request for a paraphrase."""

    paraphrase: Text


class Agreement(Form):
    """Whether a paraphrase agrees with its passage, and the facts that it leaves out."""

    agrees: bool
    missing: list[int] = []
    reason: str = ""


class TeacherAnswer(Form):
    """The teacher's answer; empty where the documents do not say."""

    answer: str


class UnreadableReply(ValueError):
    """A reply that does not hold what was asked for; the message says why."""


_Form = TypeVar("_Form", bound=Form)


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
