"""What the rules read in a conversation: the task line, passage marks, and images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Messages = list[dict[str, Any]]

_TASK = re.compile(r"^Task: (\w+)$", re.MULTILINE)
_NUMBER = re.compile(r"^Number: (\d+)$", re.MULTILINE)
_QUESTION = re.compile(r"^Question: (.+)$", re.MULTILINE)
# Greedy: marks inside a passage do not end it.
_PASSAGE = re.compile(r"<passage>\n(.*)\n</passage>", re.DOTALL)


class UnknownTask(ValueError):
    """The conversation is none that rules can answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A task named in a prompt, with its passage, and what it asks for."""

    task: str
    passage: str
    number: int
    question: str


def find_image(messages: Messages) -> str | None:
    """The URL of the first image in a conversation, or None."""
    for message in messages:
        content = message["content"]
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") == "image_url":
                image = part.get("image_url")
                return str(image.get("url") if isinstance(image, dict) else image)
    return None


def read_request(messages: Messages) -> Request:
    """The task of a conversation.

    The first user message states it; later ones only ask to mend its reply.

    Raises:
        UnknownTask: If there is no task line or no passage.
    """
    prompt = next((str(m["content"]) for m in messages if m["role"] == "user"), "")
    task, passage = _TASK.search(prompt), _PASSAGE.search(prompt)
    if task is None or passage is None:
        raise UnknownTask(
            "the rules answer only prompts with a line 'Task: NAME' and a passage between "
            "<passage> marks, or an image; set `base_url` and `model` to a language model"
        )
    # Lines inside the passage are not ours.
    around = prompt[: passage.start()] + prompt[passage.end() :]
    number, question = _NUMBER.search(around), _QUESTION.search(around)
    return Request(
        task=task[1],
        passage=passage[1],
        number=int(number[1]) if number else 4,
        question=question[1] if question else "",
    )
