"""What the rules read in a conversation: the task line, passage marks, and images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Messages = list[dict[str, Any]]

_HEADER = re.compile(r"^(Task|Kind|Number|Language): (.+)$", re.MULTILINE)
_LIST = re.compile(r"^<(\w+)>\n(.*?)\n</\1>$", re.MULTILINE | re.DOTALL)
_NUMBERED = re.compile(r"^\d+\. ", re.MULTILINE)
_OPEN, _CLOSE = "<passage>\n", "\n</passage>"


class UnknownTask(ValueError):
    """The conversation is none that rules can answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A task named in a prompt, with its passages, and the numbered lists that go with it."""

    task: str
    passages: tuple[str, ...]
    number: int
    kind: str
    language: str
    lists: dict[str, list[str]]

    def items(self, name: str) -> list[str]:
        """The lines of a list; none where it is not there."""
        return self.lists.get(name, [])


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
    head, opening, body = prompt.partition(_OPEN)
    headers = {match[1]: match[2] for match in reversed(list(_HEADER.finditer(head)))}
    end = body.rfind(_CLOSE)
    if "Task" not in headers or not opening or end < 0:
        raise UnknownTask(
            "the rules answer only prompts with a line 'Task: NAME' and a passage between "
            "<passage> marks, or an image; set `base_url` and `model` to a language model"
        )
    number = headers.get("Number", "")
    return Request(
        task=headers["Task"],
        passages=tuple(body[:end].split(f"{_CLOSE}\n{_OPEN}")),
        number=int(number) if number.isdecimal() else 4,
        kind=headers.get("Kind", ""),
        language=headers.get("Language", ""),
        lists={
            m[1]: [_NUMBERED.sub("", line) for line in m[2].split("\n")]
            for m in _LIST.finditer(head)
        },
    )
