"""Verification by rule: a pair is right if the rules find the same; what they cannot see fails."""

from __future__ import annotations

import re
from typing import Any

from tasks.llm.rules.complex import join_across
from tasks.llm.rules.paraphrase import reword_words
from tasks.llm.rules.questions import answer_question, find_facts, known_answers
from tasks.llm.rules.request import Request

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NO_RULE = "the rules do not find this answer"


def answers_of(passages: tuple[str, ...]) -> dict[str, str]:
    """The questions that the rules can ask of the passages together, or of the only one."""
    if len(passages) == 1:
        return known_answers(passages[0])
    facts = [[f for f in find_facts(passage) if f.rank == 0] for passage in passages[:2]]
    return {fact.question: fact.answer for fact in join_across(*facts)}


def verify_pairs(request: Request) -> list[dict[str, Any]]:
    """A verdict on every pair of the request."""
    known = answers_of(request.passages)
    verdicts = []
    for number, line in enumerate(request.items("pairs"), 1):
        is_right = any(_agrees(q, a, known, request) for q, a in _cuts(line))
        reason = "" if is_right else _NO_RULE
        verdicts.append({"number": number, "correct": is_right, "reason": reason})
    return verdicts


def find_covered(request: Request) -> list[int]:
    """Numbers of the listed facts that some pair asks for."""
    asked = set(request.items("pairs"))
    covered = []
    for number, line in enumerate(request.items("facts"), 1):
        for fact in find_facts(request.passages[0]):
            if fact.statement == line and f"{fact.question} / {fact.answer}" in asked:
                covered.append(number)
                break
        else:
            question, _, answer = line.rpartition(": ")
            if any(q.rstrip("?？") == question and a == answer for p in asked for q, a in _cuts(p)):
                covered.append(number)
    return covered


def compare_paraphrase(request: Request) -> dict[str, Any]:
    """Whether a paraphrase keeps to the passage's numbers, and the facts whose answers it lost."""
    passage, paraphrase = request.passages[0], " ".join(request.items("paraphrase"))
    new = sorted(set(_NUMBER.findall(paraphrase)) - set(_NUMBER.findall(passage)))
    missing = [
        number
        for number, line in enumerate(request.items("facts"), 1)
        if not _is_kept(line.rpartition(": ")[2], paraphrase)
    ]
    reason = f"it adds the number {new[0]}" if new else ""
    return {"agrees": not new, "missing": missing, "reason": reason}


def _is_kept(answer: str, paraphrase: str) -> bool:
    text = paraphrase.lower()
    return answer.lower() in text or reword_words(answer).lower() in text


def _agrees(question: str, answer: str, known: dict[str, str], request: Request) -> bool:
    if question in known:
        return known[question] == answer
    # Another's question about one passage: the nearest fact must have this very answer.
    is_single = len(request.passages) == 1 and request.kind in ("", "simple")
    return is_single and answer_question(question, request.passages[0]) == answer != ""


def _cuts(line: str) -> list[tuple[str, str]]:
    """Every way to cut "question / answer": either may hold a slash of its own."""
    places = [match.start() for match in re.finditer(" / ", line)]
    return [(line[:at], line[at + 3 :]) for at in places]
