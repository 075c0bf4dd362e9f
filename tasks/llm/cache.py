"""Replies on disk by request: nothing is asked or paid twice, in this run or a later one."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.storage import hash_json, write_json

log = logging.getLogger(__name__)

REQUEST_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said: its text, token counts as it reported them, and whether it is old.

    `request_id` (the first 16 hex digits of the request's hash) names the request for provenance:
    the same request has the same one in every run.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    cached: bool = False
    request_id: str = ""


_STORED = TypeAdapter(Reply)


class ReplyCache:
    """One small file a request, in subfolders by the first two letters of its hash.

    A file holds the reply, what it was for, and the request without its pictures, which would fill
    the disk. Keys are never part of either.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged = 0

    def path(self, key: str) -> Path:
        """Where the reply of a request lies, or will."""
        return self.folder / key[:2] / f"{key}.json"

    def read(self, key: str) -> Reply | None:
        """The reply of an earlier request, or None; an unreadable file counts as absent.

        Those are counted in `damaged`.
        """
        path = self.path(key)
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            stored = entry["reply"]
            if entry.get("digest") not in (None, hash_json(stored)):
                raise ValueError("not what was written")
            return replace(
                _STORED.validate_python(stored), cached=True, request_id=key[:REQUEST_ID_DIGITS]
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):  # no file, text, JSON, or other form
            self.damaged += 1
            log.warning("%s is damaged; its request is asked again", path)
            return None

    def write(
        self,
        key: str,
        reply: Reply,
        *,
        model: str,
        purpose: str,
        request: dict[str, Any] | None = None,
    ) -> None:
        """Keep a reply; the file appears whole or not at all."""
        stored = asdict(reply)
        entry = {"model": model, "purpose": purpose, "reply": stored, "digest": hash_json(stored)}
        if request is not None:
            entry["request"] = without_pictures(request)
        write_json(self.path(key), entry)


def without_pictures(value: Any) -> Any:
    """A JSON value in which embedded pictures are only mentioned, with their size."""
    if isinstance(value, str) and value.startswith("data:"):
        return f"{value[:60].partition(',')[0]},... ({len(value)} characters)"
    if isinstance(value, dict):
        return {key: without_pictures(item) for key, item in value.items()}
    return [without_pictures(item) for item in value] if isinstance(value, list) else value
