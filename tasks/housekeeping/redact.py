"""Keys stay out of logs: every known value of a secret is replaced before anything is written."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterator
from typing import Any

from configs.secrets import REFERENCE, read_secret

HIDDEN = "[hidden]"
# A shorter value would blot out ordinary words; no provider issues such keys.
_SHORTEST = 8
_SECRET_NAME = re.compile(r"(_API_KEY|_KEY_ID|_TOKEN|_SECRET|_PASSWORD|_ACCESS_KEY|_AUTH_STRING)$")

_values: set[str] = set()


def learn_secrets(settings: Any) -> None:
    """Remember the values of all secrets that settings refer to, and of the environment's keys.

    Args:
        settings: A configuration, or any JSON value of one.
    """
    tree = settings.model_dump(mode="json") if hasattr(settings, "model_dump") else settings
    found = {value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper())}
    for text in _strings(tree):
        for reference in REFERENCE.finditer(text):
            try:
                found.add(read_secret(reference.group()))
            except Exception:  # noqa: BLE001 - what cannot be read here cannot leak
                continue
    _values.update(value for value in found if len(value) >= _SHORTEST)


def redact(text: str) -> str:
    """The text without any known secret."""
    # The longest first: one may be the beginning of another.
    for value in sorted(_values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def redact_record(record: logging.LogRecord) -> None:
    """Take known secrets out of a log record's message, arguments and traceback."""
    if not _values:
        return
    try:
        message = record.getMessage()
    except (TypeError, ValueError):
        return  # a message that does not fit its arguments: the handler reports it
    clean = redact(message)
    if clean != message:
        record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if (hidden := redact(text)) != text:
            # Handlers print this text where it is given, and do not format the exception again;
            # those that look at the exception itself find none.
            record.exc_text, record.exc_info = hidden, None


def _strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _strings(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _strings(value)
