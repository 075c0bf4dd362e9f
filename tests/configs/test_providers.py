"""Providers as presets: what they fill in, and what the user's own word changes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from configs.base import EndpointSettings
from configs.providers import PRESETS, Price, recognise


def test_openai_needs_only_its_name():
    settings = EndpointSettings(provider="openai")
    assert settings.base_url == "https://api.openai.com/v1"
    assert settings.api_key == "${OPENAI_API_KEY}"
    assert settings.structured_ability == "json_schema"
    assert settings.price_of(settings.model) == Price(0.40, 1.60)
    assert settings.request_rate == 500


@pytest.mark.parametrize("name", ["vllm", "ollama", "custom"])
def test_provider_without_an_obvious_model_asks_for_one(name):
    with pytest.raises(ValidationError, match="model"):
        EndpointSettings(provider=name, base_url="http://127.0.0.1:9/v1")


def test_custom_needs_an_address():
    with pytest.raises(ValidationError, match="base_url"):
        EndpointSettings(provider="custom", model="m")


def test_unknown_provider_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match="dashscope"):
        EndpointSettings(provider="opnai")


def test_own_values_win_over_the_preset():
    settings = EndpointSettings(
        provider="openai", base_url="https://proxy.example/v1/", model="gpt-4.1", api_key="${MINE}",
        structured_output="none", requests_per_minute=10_000,
        prices={"gpt-4.1": {"prompt": 1.0, "completion": 2.0}},
    )  # fmt: skip
    assert settings.base_url == "https://proxy.example/v1"
    assert settings.api_key == "${MINE}"
    assert settings.structured_ability == "none"
    assert settings.request_rate == 10_000
    assert settings.price_of("gpt-4.1") == Price(1.0, 2.0)
    assert settings.price_of("gpt-4.1-mini") == Price(0.40, 1.60)


def test_provider_wins_over_an_address_that_says_embedded():
    """A file says `base_url: embedded`; `--set synthesis.provider=openai` must be enough."""
    settings = EndpointSettings(provider="openai", base_url="embedded")
    assert settings.base_url == "https://api.openai.com/v1"


def test_embedded_has_no_address():
    with pytest.raises(ValidationError, match="embedded"):
        EndpointSettings(provider="embedded", base_url="http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("embedded", "embedded"),
        ("https://api.openai.com/v1", "openai"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://api.deepseek.com", "deepseek"),
        ("http://127.0.0.1:8000/v1", "custom"),
        ("https://api.openai.com.evil.example/v1", "custom"),
    ],
)
def test_address_tells_the_provider_where_none_is_named(base_url, provider):
    assert recognise(base_url) == provider
    settings = EndpointSettings(base_url=base_url, model="m")
    assert settings.provider == provider
    assert settings.api_key is None  # an address alone names no variable


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "custom"])
def test_dumped_settings_load_as_the_same(name):
    settings = EndpointSettings(
        **{"provider": name} | ({"model": "m"} if PRESETS[name].model is None else {})
    )
    assert EndpointSettings(**settings.model_dump()) == settings
    keyless = settings.model_dump() | {"api_key": None}
    assert EndpointSettings(**keyless).api_key is None


def test_unknown_price_is_none_not_zero():
    assert EndpointSettings(provider="dashscope").price_of("qwen-plus") is None
    assert EndpointSettings(provider="ollama", model="qwen3:8b").price_of("qwen3:8b") is None


def test_roles_fall_back_to_the_model():
    settings = EndpointSettings(provider="openai", models={"teacher": "gpt-4.1"})
    assert settings.model_for("teacher") == "gpt-4.1"
    assert settings.model_for("questions") == settings.model_for("vision") == "gpt-4.1-mini"
