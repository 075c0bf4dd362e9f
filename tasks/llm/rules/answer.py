"""Which rules answer a conversation."""

from __future__ import annotations

import json
from typing import Any

from tasks.llm.rules.captions import describe_image
from tasks.llm.rules.facts import Fact
from tasks.llm.rules.paraphrase import paraphrase
from tasks.llm.rules.questions import answer_question, ask_complex, ask_simple
from tasks.llm.rules.request import Messages, UnknownTask, find_image, read_request


def answer(messages: Messages) -> str:
    """The reply to a conversation, as JSON.

    Raises:
        UnknownTask: If no known task, no passage, or no readable image is in it.
    """
    image_url = find_image(messages)
    if image_url is not None:
        return json.dumps({"shown": describe_image(image_url)}, ensure_ascii=False)
    request = read_request(messages)
    if request.task == "simple_qa":
        reply: dict[str, Any] = {"pairs": _pairs(ask_simple(request.passage, request.number))}
    elif request.task == "complex_qa":
        reply = {"pairs": _pairs(ask_complex(request.passage, request.number))}
    elif request.task == "paraphrase":
        reply = {"paraphrase": paraphrase(request.passage)}
    elif request.task == "answer":
        reply = {"answer": answer_question(request.question, request.passage)}
    else:
        raise UnknownTask(f"no rules for task '{request.task}'")
    return json.dumps(reply, ensure_ascii=False)


def _pairs(facts: list[Fact]) -> list[dict[str, str]]:
    return [fact.as_json() for fact in facts]
