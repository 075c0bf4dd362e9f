"""One picture and the vision model: request, one repair, and what went wrong in words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clara_model.errors import DataError, ServiceError
from configs.schema import CaptioningSettings
from tasks.captioning.ocr_hint import OcrHints
from tasks.captioning.prepare import prepare_image
from tasks.captioning.prompts import build_messages, build_repair
from tasks.captioning.reply import (
    Caption,
    RefusedCaption,
    UnreadableCaption,
    read_caption,
    write_caption,
)
from tasks.llm.cache import Reply
from tasks.llm.client import ChatClient, RequestRefused
from tasks.storage import Record

# So many pictures without any answer, one after the other: the endpoint is gone.
_OUTAGES_TO_STOP = 8


class Asker:
    """Asks about pictures, and notices when the endpoint has stopped answering.

    Args:
        client: The endpoint, open.
        settings: Model and limits.
        root: Folder of the workspace.
        hints: What OCR reads.
    """

    def __init__(
        self, client: ChatClient, settings: CaptioningSettings, root: Path, hints: OcrHints
    ) -> None:
        self._client = client
        self._settings = settings
        self._root = root
        self._hints = hints
        self._first_outage: ServiceError | None = None
        self._outages_in_a_row = 0

    async def describe(self, image: str) -> Record:
        """Status, caption, reason and model of one picture.

        Raises:
            ServiceError: If the endpoint refuses for good, or has not answered for many pictures.
        """
        model = self._settings.model_for("vision")
        try:
            jpeg = await asyncio.to_thread(prepare_image, self._root / image, self._settings)
        except DataError as err:
            return {"status": "failed", "reason": str(err)}
        hint = await self._hints.read(jpeg)
        try:
            fields = await self._converse(build_messages(jpeg, hint))
        except RequestRefused as err:
            fields = {"status": "refused", "reason": str(err)}
        except ServiceError as err:
            if not err.retryable:
                raise
            self._note_outage(err)
            return {"status": "failed", "reason": str(err), "model": model}
        self._outages_in_a_row = 0
        return fields | {"model": model}

    def check_outage(self, rows: Sequence[Record]) -> None:
        """Raise the first outage if no picture at all got an answer."""
        if self._first_outage is not None and not any(r["status"] == "captioned" for r in rows):
            raise self._first_outage

    async def _converse(self, messages: list[dict[str, Any]]) -> Record:
        reply = await self._ask(messages)
        try:
            return self._judge(reply)
        except UnreadableCaption as err:
            fault = str(err)
        again = await self._ask(build_repair(messages, reply.text, fault))
        try:
            return self._judge(again)
        except UnreadableCaption as err:
            reason = f"the reply cannot be read, nor its repair: {err}"
            return {"status": "failed", "reason": reason, "raw_reply": again.text[:2000]}

    async def _ask(self, messages: list[dict[str, Any]]) -> Reply:
        return await self._client.ask(
            messages,
            max_tokens=self._settings.max_tokens,
            temperature=0.0,
            purpose="caption",
            model=self._settings.model_for("vision"),
            schema=Caption,
        )

    def _judge(self, reply: Reply) -> Record:
        try:
            caption = read_caption(reply.text)
        except RefusedCaption as err:
            return {"status": "refused", "reason": f"the model refused: {err}"}
        request = {"request": reply.request_id}
        return {"status": "captioned", "caption": write_caption(caption), **request}

    def _note_outage(self, err: ServiceError) -> None:
        self._first_outage = self._first_outage or err
        self._outages_in_a_row += 1
        if self._outages_in_a_row >= max(_OUTAGES_TO_STOP, 2 * self._settings.concurrency):
            raise err
