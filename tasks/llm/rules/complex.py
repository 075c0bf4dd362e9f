"""Questions that need two facts: one fact names what the other is about, or both are asked."""

from __future__ import annotations

import re

from tasks.llm.rules.facts import Fact, mentions
from tasks.llm.rules.verbs import AUXILIARIES, PAST, THIRD

_BEFORE_NAMES = AUXILIARIES | frozenset(
    "do does did of for by in at to with from on under after against".split()
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
# Added to the second passage's sentence numbers, so that no two passages share a sentence.
_FAR = 1_000_000


def join_facts(facts: list[Fact]) -> list[Fact]:
    """Every question that two of the facts make together: chains first, then pairs."""
    return [*_chains(facts, facts), *_when_and_where(facts), *_pairs(facts, facts)]


def join_across(one: list[Fact], other: list[Fact]) -> list[Fact]:
    """Questions that need a fact of each of two passages.

    What one passage alone can answer by its own facts is left out.
    """
    other = [fact.at(fact.sentence + _FAR) for fact in other]
    joined = [*_chains(one, other), *_chains(other, one), *_pairs(one, other)]
    alone = {fact.question for fact in [*join_facts(one), *join_facts(other), *one, *other]}
    return [fact for fact in joined if fact.question not in alone]


def _chains(naming: list[Fact], asking: list[Fact]) -> list[Fact]:
    """Ask "Where was the person who founded Tidewater Optics born?": two steps."""
    joined = []
    for named in naming:
        name, description = named.answer, named.description
        if not description or not re.match(r"[A-Z\u4e00-\u9fff]|the [A-Z]", name):
            continue
        if re.search(r"\bof the [a-z]+$", description):  # "the engineer of the company": which one?
            continue
        name = re.sub(r"^[Tt]he ", "", name)
        for asked in asking:
            if asked is named or asked.sentence == named.sentence:
                continue
            if not mentions(asked.question, name) or mentions(description, name):
                continue
            if mentions(description, asked.answer) or mentions(asked.answer, name):
                continue
            if asked.description and asked.description == description:
                continue
            if description.startswith("the ") and mentions(asked.question, description.split()[1]):
                continue
            question = _put(description, name, asked.question)
            if question is None:
                continue
            parts = (named.question, asked.question)
            joined.append(
                Fact(question, asked.answer, asked.subject, "", asked.sentence, parts=parts)
            )
    return joined


def _put(description: str, name: str, question: str) -> str | None:
    """The question with a description in the name's place; None if the name is part of more."""
    if _HAN.search(question):
        return question.replace(name, description)
    match = re.search(rf"(\w+) (?:the )?{re.escape(name)}(?= [a-z]|[?,])(?! and )", question)
    if match is None or not (match[1] in _BEFORE_NAMES or match[1] in PAST or match[1] in THIRD):
        return None
    return question[: match.end(1)] + f" {description}" + question[match.end() :]


def _when_and_where(facts: list[Fact]) -> list[Fact]:
    """Ask "When and where was Mara Velin born?": two answers of one sentence."""
    joined = []
    whens = {f.question[5:]: f for f in facts if f.question.startswith("When ")}
    for fact in facts:
        when = whens.get(fact.question[6:]) if fact.question.startswith("Where ") else None
        if when is not None and when.sentence == fact.sentence:
            question = f"When and where {fact.question[6:]}"
            joined.append(_both(question, when, fact))
    return joined


def _pairs(firsts: list[Fact], seconds: list[Fact]) -> list[Fact]:
    """Ask "How long is the bridge, and who designed it?": two facts about one subject."""
    joined = []
    used: set[str] = set()
    is_same = firsts is seconds
    for i, first in enumerate(firsts):
        for second in seconds[i + 1 :] if is_same else seconds:
            if second.sentence == first.sentence or second.subject != first.subject:
                continue
            if not first.subject or {first.question, second.question} & used:
                continue
            if not mentions(first.question, first.subject) or first.answer == second.answer:
                continue
            if mentions(second.question, first.answer) or mentions(first.question, second.answer):
                continue
            used |= {first.question, second.question}
            joined.append(_pair(first, second))
    return joined


def _pair(first: Fact, second: Fact) -> Fact:
    subject = first.subject
    if _HAN.search(first.question):
        rest = second.question.removeprefix(subject)
        return _both(f"{first.question.rstrip('？')}，{rest}", first, second)
    follow = second.question[0].lower() + second.question[1:]
    is_thing = re.match(r"(?:the|each|an?) ", subject) is not None
    if is_thing and follow.count(subject) == 1 and not _is_plural(subject):
        follow = follow.replace(subject, "it")
    return _both(f"{first.question[:-1]}, and {follow}", first, second)


def _is_plural(subject: str) -> bool:
    head = re.split(r" (?:of|in|on|from|for)\b", subject)[0]
    return head.endswith("s") and not head.endswith("ss")


def _both(question: str, first: Fact, second: Fact) -> Fact:
    comma = "，" if _HAN.search(question) else ", "
    if "," in first.answer + second.answer:
        comma = "; "
    parts = (first.question, second.question)
    return Fact(question, f"{first.answer}{comma}{second.answer}", first.subject, parts=parts)
