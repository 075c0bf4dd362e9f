"""Any OpenAI-compatible model as a system that reads the documents as text, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import ServiceError
from clara_model.evaluation.systems.opening import Opened, Opener
from clara_model.evaluation.systems.shelf import SystemOptions
from clara_model.prompts import full_text_turn
from configs.base import EndpointSettings
from tasks.llm.cache import Reply
from tasks.llm.client import ChatClient
from tasks.llm.endpoint import endpoint_url


@dataclass(frozen=True)
class ChatGenerator:
    """Answers of a model behind an endpoint, at temperature 0, each paid for once.

    Args:
        settings: The endpoint.
        model: The model's name there.
        cache_folder: Where replies are kept.
        max_new_tokens: Length limit of an answer.
    """

    settings: EndpointSettings
    model: str
    cache_folder: Path
    max_new_tokens: int = 64

    def prepare(self, texts: Iterable[str]) -> None:
        """Text is read as it is."""

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Ask all questions, as many at once as the endpoint's settings allow.

        Raises:
            ServiceError: If the endpoint fails for good, or gives a reply without text.
        """
        length = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        replies = asyncio.run(self._ask(questions, documents, length))
        for question, reply in zip(questions, replies, strict=True):
            if not reply.text.strip():
                raise ServiceError(
                    f"{self.model}: the reply to {question[:60]!r} has no text; a model that "
                    "thinks first needs a higher max_new_tokens"
                )
        return [reply.text.strip() for reply in replies]

    def prompt_tokens(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        """As the endpoint counted them; asks what was not asked yet."""
        replies = asyncio.run(self._ask(questions, documents, self.max_new_tokens))
        return [reply.prompt_tokens for reply in replies]

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """The texts themselves, in UTF-8."""
        return sum(len(text.encode()) for text in texts)

    def unprepared(self) -> ChatGenerator:
        """Itself: nothing is prepared."""
        return self

    async def _ask(
        self, questions: list[str], documents: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[Reply]:
        with endpoint_url(self.settings) as url:
            async with ChatClient(
                self.settings, url, self.cache_folder, section="evaluation"
            ) as client:

                async def one(question: str, texts: Sequence[str]) -> Reply:
                    turn = full_text_turn(list(texts), question)
                    return await client.ask(
                        [
                            {"role": "system", "content": turn.system},
                            {"role": "user", "content": turn.user},
                        ],
                        max_tokens=max_new_tokens,
                        temperature=0.0,
                        purpose="answer",
                        model=self.model,
                    )

                pairs = zip(questions, documents, strict=True)
                return await asyncio.gather(*(one(q, d) for q, d in pairs))


def chat_opener(settings: EndpointSettings, cache_folder: Path) -> Opener:
    """What makes `openai:MODEL` a system: give it to `plan_systems` as `openers={"openai": ...}`.

    Args:
        settings: The endpoint; its `model` is replaced by the part's.
        cache_folder: Where replies are kept.
    """

    def opener(model: str, options: SystemOptions) -> Opened:
        generator = ChatGenerator(settings, model, cache_folder, options.max_new_tokens)
        identity = {"model": model, "endpoint": settings.base_url, "extra": settings.extra_body}
        return Opened(lambda: generator, identity)

    return opener
