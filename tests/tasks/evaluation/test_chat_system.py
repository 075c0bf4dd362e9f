"""A model behind an endpoint answers like any other system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted_endpoint import Act, say, serve

from clara_model.errors import ServiceError
from clara_model.evaluation.systems.interface import System
from clara_model.evaluation.systems.opening import open_system, plan_systems
from clara_model.evaluation.systems.shelf import SystemOptions
from configs.base import EndpointSettings
from tasks.evaluation.systems_openai import chat_opener


def settings(url: str) -> EndpointSettings:
    return EndpointSettings(base_url=url, model="other", max_retries=0)


def chat_system(url: str, folder: Path, spec: str = "openai:big-one") -> System:
    openers = {"openai": chat_opener(settings(url), folder)}
    return open_system(spec, SystemOptions(max_new_tokens=9), openers)


def last_word(body: dict[str, Any], number: int) -> Act:
    return say(body["messages"][-1]["content"].split()[-1])


def test_it_reads_the_documents_as_text_or_none_and_every_reply_is_paid_once(
    tmp_path: Path,
) -> None:
    with serve(last_word) as endpoint:
        system = chat_system(endpoint.url, tmp_path)
        given = [["Ada was born in Orford.", "Second text."], []]
        answers = system.answer(["where is Ada?", "who is Tom?"], given)
        again = chat_system(endpoint.url, tmp_path).answer(["who is Tom?"], [[]])
        counts = system.generator.prompt_tokens(["where is Ada?"], given[:1])
    assert answers == ["Ada?", "Tom?"]
    assert again == ["Tom?"]
    assert counts == [7]
    assert len(endpoint.bodies) == 2
    with_text = next(body for body in endpoint.bodies if "Orford" in str(body))
    assert with_text["model"] == "big-one"
    assert with_text["max_tokens"] == 9
    assert with_text["temperature"] == 0.0
    assert with_text["messages"][1]["content"].endswith("Second text.\n\nQuestion:where is Ada?")
    (without,) = [body for body in endpoint.bodies if body is not with_text]
    assert without["messages"][1]["content"] == "Question:who is Tom?"


def test_reply_without_text_is_an_error_and_no_empty_answer(tmp_path: Path) -> None:
    with serve([say("  ")]) as endpoint:
        system = chat_system(endpoint.url, tmp_path)
        with pytest.raises(ServiceError, match=r"no text.*max_new_tokens"):
            system.answer(["who?"], [[]])


def test_key_holds_model_and_endpoint_but_no_secret(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PLANTED_KEY", "sk-planted")
    endpoint = EndpointSettings(base_url="https://x.test/v1", model="m", api_key="${PLANTED_KEY}")
    openers = {"openai": chat_opener(endpoint, tmp_path)}
    plan = plan_systems(["bm25+openai:big-one"], openers=openers)[0]
    assert plan.settings["parts"][1] == [
        "openai", {"model": "big-one", "endpoint": "https://x.test/v1", "extra": {}}
    ]  # fmt: skip
    assert "PLANTED" not in str(plan.settings)
    assert "sk-planted" not in str(plan.settings)
