"""Replies held to a schema: what is sent for it, by what the endpoint can do."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from configs.providers import StructuredOutput

# What strict decoders understand; the rest (lengths, patterns) pydantic checks on the reply.
_UNDERSTOOD = {
    "type", "properties", "required", "items", "enum", "const", "anyOf", "$ref", "$defs",
    "description", "additionalProperties",
}  # fmt: skip


def response_format(schema: type[BaseModel], ability: StructuredOutput) -> dict[str, Any] | None:
    """The request's `response_format` for a reply of a form; None where nothing may be sent."""
    if ability == "none":
        return None
    if ability == "json_object":
        return {"type": "json_object"}
    form = {
        "name": schema.__name__,
        "strict": True,
        "schema": strict(schema.model_json_schema()),
    }
    return {"type": "json_schema", "json_schema": form}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema as strict decoding wants it: all properties required, no others allowed.

    Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    kept = {key: value for key, value in schema.items() if key in _UNDERSTOOD}
    for key in ("properties", "$defs"):
        if key in kept:
            kept[key] = {name: strict(inner) for name, inner in kept[key].items()}
    if "items" in kept:
        kept["items"] = strict(kept["items"])
    if "anyOf" in kept:
        kept["anyOf"] = [strict(option) for option in kept["anyOf"]]
    if "$ref" in kept:
        return {"$ref": kept["$ref"]}  # beside a reference nothing may stand
    if kept.get("type") == "object":
        kept["required"] = list(kept.get("properties", {}))
        kept["additionalProperties"] = False
    return kept
