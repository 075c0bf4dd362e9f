"""Ordinary prose made plain: what stands around a sentence's main clause is taken away."""

from __future__ import annotations

import re

from tasks.llm.rules.facts import Fact

# Said before a sentence without saying anything of it.
_OPENER = re.compile(
    r"(?:(?:Note|Notice|Remember|Recall|Keep in mind|Bear in mind|It is clear|It is evident) that"
    r"|(?:However|Therefore|Moreover|Furthermore|Additionally|Also|Finally|Thus|Hence|Similarly"
    r"|Likewise|Fortunately|Unfortunately|Today|In addition|In fact|In general|In short|In summary"
    r"|In particular|As a result|Of course|For example|For instance|By contrast|In contrast"
    r"|On the other hand|At the same time|As of today|To this day),"
    r"|(?:Additionally|Finally|Also),? the results show that) (?=\S)"
)
# What follows explains or lists; what stands before is whole.
_EXPLANATION = re.compile(r"(?:: | [–—] |; )(?=\S)")
_QUOTED = re.compile(r"[“\"]([\w’'-]+(?: [\w’'-]+){0,4})[”\"]")
_CODE = re.compile(r"`([A-Za-z][A-Za-z0-9.]*)`")
_FEWEST_WORDS = 4
# Numbered parts of a book, of which nobody knows who has not read it.
PART = re.compile(r"\b(?:Listing|Figure|Table|Chapter|Section|Appendix|Equation) (?:\d|[A-Z]\b)")
# What says nothing without the words behind it.
EMPTY = re.compile(
    r"(?:an?|the) (?:[\w-]+ )?(?:way|example|lot|kind|sort|part|number|use|need|ability|thing|bit"
    r"|case|reason|difference|set|fact|point)s?"
)
_THERE = re.compile(
    r"There (?P<verb>are|were) (?P<number>[\d,.]*\d|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve) (?P<noun>(?:[a-z][\w-]* ){0,3}?[a-z][\w-]*(?:s|people|men|women|children)"
    r"(?: of [a-z][\w-]*(?: [a-z][\w-]*)?)?)(?P<place> (?:in|on|at) (?:the )?[A-Z][\w’' -]*)?\."
)


def simplify(sentence: str) -> str:
    """A sentence without opener, quotation marks around words, and explanation at its end."""
    text = _QUOTED.sub(r"\1", _CODE.sub(r"\1", sentence.strip()))
    opener = _OPENER.match(text)
    if opener:
        text = text[opener.end() :]
        text = text[0].upper() + text[1:]
    head = _EXPLANATION.split(text, maxsplit=1)[0]
    if head != text and len(head.split()) >= _FEWEST_WORDS and head[-1].isalnum():
        text = f"{head}."
    return text


def read_there(sentence: str) -> list[Fact]:
    """The fact of "There are nine bridges in Osterly."."""
    match = _THERE.fullmatch(sentence)
    if match is None:
        return []
    question = f"How many {match['noun']} {match['verb']} there{match['place'] or ''}?"
    rank = 0 if match["place"] else 1
    return [Fact(question, match["number"], match["noun"], rank=rank)]
