"""What is known beforehand about providers: address, key variable, abilities, rates and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

Provider = Literal["openai", "dashscope", "deepseek", "vllm", "ollama", "embedded", "custom"]
StructuredOutput = Literal["json_schema", "json_object", "none"]


class Price(NamedTuple):
    """US dollars per million tokens."""

    prompt: float
    completion: float


@dataclass(frozen=True)
class Preset:
    """Defaults of one provider; every one of them can be set otherwise.

    Args:
        base_url: Where it listens; None where only the user knows.
        key_variable: Environment variable that holds its key; None where none is needed.
        model: Model for all roles unless another is named; None where there is no obvious one.
        structured_output: How far it holds replies to a schema.
        requests_per_minute: What an ordinary account may send; None: no limit of its own.
        prices: By model name; a model that is not listed has an unknown price.
        extra_body: Sent with every request.
    """

    base_url: str | None
    key_variable: str | None = None
    model: str | None = None
    structured_output: StructuredOutput = "none"
    requests_per_minute: int | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)


# List prices of November 2026, without discounts for batches or repeated beginnings.
PRESETS: dict[Provider, Preset] = {
    "openai": Preset(
        "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-4.1-mini", "json_schema", 500,
        {
            "gpt-4.1": Price(2.00, 8.00),
            "gpt-4.1-mini": Price(0.40, 1.60),
            "gpt-4.1-nano": Price(0.10, 0.40),
            "gpt-4o": Price(2.50, 10.00),
            "gpt-4o-mini": Price(0.15, 0.60),
            "gpt-5": Price(1.25, 10.00),
            "gpt-5-mini": Price(0.25, 2.00),
            "gpt-5-nano": Price(0.05, 0.40),
            "gpt-5.2": Price(1.75, 14.00),
            "gpt-5.4": Price(2.50, 15.00),
            "gpt-5.4-mini": Price(0.75, 4.50),
            "gpt-5.4-nano": Price(0.20, 1.25),
        },
    ),
    # Its prices depend on region, length of the prompt and thinking: left for the user to set.
    "dashscope": Preset(
        "https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY", "qwen-plus",
        "json_object", 600,
    ),
    "deepseek": Preset(
        "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "deepseek-flash", "json_object", None,
        {"deepseek-flash": Price(0.30, 1.20)},  # the dearer hours; half of it in the others
        # It thinks at length unless told not to, and the thoughts are paid for.
        {"thinking": {"type": "disabled"}},
    ),
    "vllm": Preset("http://127.0.0.1:8000/v1", structured_output="json_schema"),
    "ollama": Preset("http://127.0.0.1:11434/v1", structured_output="json_schema"),
    "embedded": Preset("embedded", model="embedded-rules",
                       prices={"embedded-rules": Price(0.0, 0.0)}),
    "custom": Preset(None),
}  # fmt: skip

_HOSTS: dict[str, Provider] = {
    "api.openai.com": "openai",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "dashscope-us.aliyuncs.com": "dashscope",
    "api.deepseek.com": "deepseek",
}


def recognise(base_url: str) -> Provider:
    """The provider behind an address: by its host, `custom` where that says nothing."""
    if base_url == "embedded":
        return "embedded"
    return _HOSTS.get(urlsplit(base_url).hostname or "", "custom")
