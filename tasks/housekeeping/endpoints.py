"""Whether endpoints answer and take their keys: one request of one token to each model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from clara_model.errors import ClaraError, ConfigError
from configs.base import EndpointSettings, Role
from configs.negatives import EmbeddingSettings
from configs.schema import PipelineConfig
from tasks.housekeeping.findings import Finding
from tasks.llm.faults import Fault, RequestRefused
from tasks.llm.wire import Wire
from tasks.negatives.embeddings import try_endpoint

_PATIENCE_S = 20.0


def check_endpoints(config: PipelineConfig) -> list[Finding]:
    """A finding for each model behind an endpoint that the configuration uses."""
    findings = {}
    for section, settings in _endpoints(config, ""):
        if settings.is_embedded or not _is_asked(config, settings):
            continue
        models = {settings.model, *(settings.model_for(role) for role in get_args(Role))}
        for model in sorted(models):
            place = (settings.base_url, settings.api_key, model)
            if place not in findings:
                findings[place] = _check(section, settings, model)
    return list(findings.values()) or [Finding("endpoints", "ok", "the embedded one, by rules")]


def _check(section: str, settings: EndpointSettings, model: str) -> Finding:
    what = f"endpoint of {section}"
    place = f"{model} at {settings.base_url}"
    try:
        brief = settings.model_copy(
            update={"timeout_s": _PATIENCE_S, "connect_timeout_s": min(_PATIENCE_S, 5.0)}
        )
        answer = _try(brief, model)
    except ConfigError as err:
        return Finding(what, "missing", f"{place}: no key", str(err))
    except RequestRefused as err:
        return Finding(
            what, "note", f"{place} answers, but refuses one token: {err}",
            f"see that `{section}.model` names a model to chat with; some refuse so short a reply, "
            "and work all the same",
        )  # fmt: skip
    except Fault as err:
        return Finding(
            what, "missing", f"{place}: {err}",
            f"see that it runs, or that `{section}.base_url` is right",
        )  # fmt: skip
    except ClaraError as err:
        return Finding(
            what, "missing", f"{place}: {err}",
            f"see `{section}.api_key` ({settings.api_key or 'none is set'}) and `{section}.model`",
        )  # fmt: skip
    return Finding(what, "ok", f"{place} answers ({answer})")


def _is_asked(config: PipelineConfig, settings: EndpointSettings) -> bool:
    """Embeddings only where a share of the negatives is chosen by them, and not made here."""
    if not isinstance(settings, EmbeddingSettings):
        return True
    return config.negatives.strategies.dense > 0 and settings.local_model is None


def _try(settings: EndpointSettings, model: str) -> str:
    """Send one request; returns what it took."""
    if isinstance(settings, EmbeddingSettings):
        try_endpoint(settings)
        return "1 embedding"
    return f"{asyncio.run(_ask(settings, model))} tokens"


async def _ask(settings: EndpointSettings, model: str) -> int:
    """Send one request; returns the tokens it took."""
    wire = Wire(settings, settings.base_url)
    wire.open()
    try:
        message = {"role": "user", "content": "Say yes."}
        reply = await wire.send(
            {"model": model, "messages": [message], "max_tokens": 1, **settings.further_fields}
        )
    finally:
        await wire.close()
    return reply.prompt_tokens + reply.completion_tokens


def _endpoints(settings: BaseModel, prefix: str) -> Iterator[tuple[str, EndpointSettings]]:
    """All endpoints of a configuration that are in use, with their section's name."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, EndpointSettings) and getattr(value, "enabled", True):
            yield f"{prefix}{name}", value
        if isinstance(value, BaseModel):
            yield from _endpoints(value, f"{prefix}{name}.")
