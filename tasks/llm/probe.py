"""Whether an endpoint answers at all: what tells a request that it cannot digest from an outage."""

from __future__ import annotations

import time

from clara_model.errors import ServiceError
from tasks.llm.client import ChatClient, RequestRefused


async def is_answering(
    client: ChatClient, *, model: str, max_tokens: int, temperature: float
) -> bool:
    """Whether the endpoint has a reply, or at least a refusal, for something harmless."""
    words = f"Reply with OK. ({time.time_ns()})"  # never twice the same: not from the cache
    try:
        await client.ask(
            [{"role": "user", "content": words}],
            max_tokens=max_tokens,
            temperature=temperature,
            purpose="probe",
            model=model,
        )
    except RequestRefused:
        return True
    except ServiceError:
        return False
    return True
