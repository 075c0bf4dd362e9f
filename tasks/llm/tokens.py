"""Token counts before a provider has counted: close enough for rates, caps and estimates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# A picture of about a megapixel, as vision models bill it (OpenAI 765 to 1105, Qwen up to 1280).
IMAGE_TOKENS = 1100
_MESSAGE_TOKENS = 4  # the frame around each message


def count_text(text: str) -> int:
    """Tokens of a text: four ASCII characters each, any other character one."""
    ascii_ = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return (ascii_ + 3) // 4 + len(text) - ascii_


def count_messages(messages: Iterable[dict[str, Any]]) -> int:
    """Tokens of a conversation, pictures included."""
    return sum(_MESSAGE_TOKENS + _count_content(message["content"]) for message in messages)


def _count_content(content: Any) -> int:
    if isinstance(content, str):
        return count_text(content)
    return sum(
        count_text(part.get("text", "")) if part.get("type") == "text" else IMAGE_TOKENS
        for part in content or ()
    )
