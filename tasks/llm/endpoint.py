"""Where requests go: the configured address, or the embedded endpoint while it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from configs.base import EndpointSettings


@contextmanager
def endpoint_url(settings: EndpointSettings) -> Iterator[str]:
    """The endpoint's base URL; the embedded one runs on loopback for as long as the block."""
    if not settings.is_embedded:
        yield settings.base_url
        return
    from tasks.llm.embedded import serve_embedded

    with serve_embedded() as base_url:
        yield base_url
