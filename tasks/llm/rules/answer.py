"""Which rules answer a conversation: told from the task line and the passage marks of our prompts."""

from __future__ import annotations

import json
import re
from typing import Any

Messages = list[dict[str, Any]]

_TASK = re.compile(r"^Task: (\w+)$", re.MULTILINE)
_NUMBER = re.compile(r"^Number: (\d+)$", re.MULTILINE)
_QUESTION = re.compile(r"^Question: (.+)$", re.MULTILINE)
# Greedy: marks inside a passage do not end it.
_PASSAGE = re.compile(r"<passage>\n(.*)\n</passage>", re.DOTALL)


class UnknownTask(ValueError):
    """The conversation is none that rules can answer."""


def answer(messages: Messages) -> str:
    """The reply to a conversation.

    Raises:
        UnknownTask: If no known task or no passage is in it.
    """
    image_url = _find_image(messages)
    if image_url is not None:
        from tasks.llm.rules.captions import describe_image

        return describe_image(image_url)
    # The first user message states the task; later ones only ask to mend its reply.
    text = next((str(m["content"]) for m in messages if m["role"] == "user"), "")
    task, passage = _TASK.search(text), _PASSAGE.search(text)
    if task is None or passage is None:
        raise UnknownTask(
            "the rules answer only prompts with a line 'Task: NAME' and a passage between "
            "<passage> marks, or an image; set `base_url` and `model` to a language model"
        )
    return _answer_task(task[1], text, passage[1])


def _answer_task(task: str, prompt: str, passage: str) -> str:
    from tasks.llm.rules.facts import answer_question, ask_complex, ask_simple
    from tasks.llm.rules.paraphrase import paraphrase

    number = int(match[1]) if (match := _NUMBER.search(prompt)) else 4
    if task == "simple_qa":
        return _dump({"pairs": [pair.as_json() for pair in ask_simple(passage, number)]})
    if task == "complex_qa":
        return _dump({"pairs": [pair.as_json() for pair in ask_complex(passage, number)]})
    if task == "paraphrase":
        return _dump({"paraphrase": paraphrase(passage)})
    if task == "answer":
        # What stands before the passage is ours; a question inside it is not the one asked.
        asked = _QUESTION.search(_PASSAGE.sub("", prompt))
        if asked is None:
            raise UnknownTask("task 'answer' needs a line 'Question: ...'")
        return _dump({"answer": answer_question(asked[1], passage)})
    raise UnknownTask(f"no rules for task '{task}'")


def _find_image(messages: Messages) -> str | None:
    for message in messages:
        content = message["content"]
        for part in content if isinstance(content, list) else []:
            if part.get("type") == "image_url":
                return str(part["image_url"]["url"])
    return None


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
