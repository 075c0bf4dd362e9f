"""One item's requests: sent, read with one attempt at repair, and kept track of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from clara_model.errors import ServiceError
from configs.base import Role
from configs.synthesis import SynthesisSettings
from tasks.llm.client import ChatClient, RequestRefused
from tasks.llm.probe import is_answering
from tasks.storage import Record
from tasks.synthesis.prompts import Messages, Task, build_repair
from tasks.synthesis.replies import Form, UnreadableReply, read_reply

# Where whole replies that cannot be read are kept.
UNREADABLE = "rejected_replies.jsonl"

_Form = TypeVar("_Form", bound=Form)


@dataclass
class Conversation:
    """What was asked about one item (a passage, or two), and what was set aside.

    Args:
        item: Name of the item in reasons.
        client: Where requests go.
        settings: Models, limits and wishes.
        rejects: Item with task, and reason, of everything that was set aside.
        unreadable: Whole replies that could not be read even after repair.
    """

    item: str
    client: ChatClient
    settings: SynthesisSettings
    rejects: list[list[str]] = field(default_factory=list)
    unreadable: list[Record] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    async def ask(
        self, task: Task, messages: Messages, form: type[_Form], *, role: Role = "questions"
    ) -> tuple[_Form, str] | None:
        """The reply in the form asked for, and its request's id; None if it was set aside.

        A request that gets no answer while the endpoint answers others is set aside too: one
        passage that a server cannot digest must not stop all others, in this run and the next.

        Raises:
            ServiceError: If the endpoint refuses for good, or answers nothing any more.
        """
        try:
            text, request = await self._send(messages, task, form, role)
            try:
                return read_reply(text, form), request
            except UnreadableReply as err:
                repair = build_repair(messages, text, str(err))
                text, request = await self._send(repair, task, form, role)
                return read_reply(text, form), request
        except UnreadableReply as err:
            self.reject(task, f"{err}; the reply was: {text[:300]}")
            self.unreadable.append(
                {"item": self.item, "task": task, "request": request, "reason": str(err),
                 "reply": text}
            )  # fmt: skip
        except RequestRefused as err:
            self.reject(task, str(err))
        except ServiceError as err:
            if not err.retryable or not await is_answering(
                self.client,
                model=self.settings.model_for(role),
                max_tokens=self.settings.max_tokens,
                temperature=self.settings.temperature,
            ):
                raise
            self.reject(task, f"others are answered, but this is not: {err}")
        return None

    def reject(self, task: str, reason: str) -> None:
        """Set something of the item aside."""
        self.rejects.append([f"{self.item} {task}", reason])

    @property
    def tokens(self) -> dict[str, int]:
        """What the item cost."""
        return {"prompt": self.prompt_tokens, "completion": self.completion_tokens}

    async def _send(
        self, messages: Messages, task: Task, form: type[Form], role: Role
    ) -> tuple[str, str]:
        reply = await self.client.ask(
            messages,
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
            purpose=task,
            model=self.settings.model_for(role),
            schema=form,
        )
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        return reply.text, reply.request_id
