"""Which rules answer a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from tasks.llm.rules.absent import ask_absent
from tasks.llm.rules.captions import describe_image
from tasks.llm.rules.facts import Fact
from tasks.llm.rules.judge import answers_of, compare_paraphrase, find_covered, verify_pairs
from tasks.llm.rules.paraphrase import paraphrase
from tasks.llm.rules.questions import (
    answer_question,
    ask_complex,
    ask_simple,
    best_answer,
    find_facts,
)
from tasks.llm.rules.request import Messages, Request, UnknownTask, find_image, read_request
from tasks.llm.rules.translate import translate

_ALL = 1000


def answer(messages: Messages) -> str:
    """The reply to a conversation, as JSON.

    Raises:
        UnknownTask: If no known task, no passage, or no readable image is in it.
    """
    image_url = find_image(messages)
    if image_url is not None:
        return json.dumps({"shown": describe_image(image_url)}, ensure_ascii=False)
    request = read_request(messages)
    if request.task not in _RULES:
        raise UnknownTask(f"no rules for task '{request.task}'")
    return json.dumps(_RULES[request.task](request), ensure_ascii=False)


def _list_facts(request: Request) -> dict[str, Any]:
    return {"facts": [fact.statement for fact in ask_simple(request.passages[0], _ALL)]}


def _ask_simple(request: Request) -> dict[str, Any]:
    facts = ask_simple(request.passages[0], _ALL)
    return _questions(request, ((fact.question, (fact.question,)) for fact in facts))


def _ask_complex(request: Request) -> dict[str, Any]:
    facts = ask_complex(request.passages[0], _ALL)
    return _questions(request, ((fact.question, fact.parts) for fact in facts))


def _ask_joint(request: Request) -> dict[str, Any]:
    return _questions(request, ((question, ()) for question in answers_of(request.passages)))


def _ask_cross_lingual(request: Request) -> dict[str, Any]:
    facts = translate(find_facts(request.passages[0]))
    return _questions(request, ((fact.question, ()) for fact in facts))


def _ask_absent(request: Request) -> dict[str, Any]:
    absent = ask_absent(request.passages[0], request.number)
    return _questions(request, ((question, ()) for question in absent))


def _questions(request: Request, asked: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    """New questions with the numbers of their facts; those about a fact not listed are left out."""
    numbers = _numbers(request)
    old = set(request.items("asked"))
    kept = []
    for question, parts in asked:
        is_old = question in old or any(q.startswith(question) for q in request.items("set_aside"))
        if is_old or (numbers and not all(part in numbers for part in parts)):
            continue
        kept.append({"question": question, "facts": [numbers[p] for p in parts if p in numbers]})
    return {"questions": kept[: request.number]}


def _numbers(request: Request) -> dict[str, int]:
    """Numbers of the listed facts by their question."""
    places = {line: number for number, line in enumerate(request.items("facts"), 1)}
    facts: list[Fact] = ask_simple(request.passages[0], _ALL)
    return {f.question: places[f.statement] for f in facts if f.statement in places}


def _answer(request: Request) -> dict[str, Any]:
    known = answers_of(request.passages) if len(request.passages) > 1 else {}
    answers = [
        {"number": n, "answer": known.get(q) or answer_question(q, request.passages[0])}
        for n, q in enumerate(request.items("questions"), 1)
    ]
    return {"answers": answers}


def _teach(request: Request) -> dict[str, Any]:
    """The answer of the document with the nearest fact."""
    question = next(iter(request.items("questions")), "")
    nearest = max(request.passages, key=lambda text: best_answer(question, text)[0])
    found = [answer_question(question, text) for text in (nearest, *request.passages)]
    return {"answer": next(filter(None, found), "")}


_RULES: dict[str, Callable[[Request], dict[str, Any]]] = {
    "facts": _list_facts,
    "simple_qa": _ask_simple,
    "complex_qa": _ask_complex,
    "joint_qa": _ask_joint,
    "cross_lingual": _ask_cross_lingual,
    "unanswerable": _ask_absent,
    "answer": _answer,
    "verify": lambda request: {"verdicts": verify_pairs(request)},
    "coverage": lambda request: {"covered": find_covered(request), "missing": []},
    "paraphrase": lambda request: {"paraphrase": paraphrase(request.passages[0])},
    "verify_paraphrase": compare_paraphrase,
    "teach": _teach,
}
