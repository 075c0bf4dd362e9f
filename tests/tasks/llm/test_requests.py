"""What a request carries: model by role, form of the reply, fields of the provider."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel, Field
from scripted_endpoint import refuse, say, serve

from configs.base import EndpointSettings
from tasks.llm.client import ChatClient
from tasks.llm.structured import strict
from tasks.llm.tokens import IMAGE_TOKENS, count_messages, count_text


class Pair(BaseModel):
    question: str = Field(min_length=3, description="what is asked")
    answer: str | None = None


class Pairs(BaseModel):
    """Its text does not belong into a strict schema's title."""

    pairs: list[Pair]


STRICT_PAIR = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "description": "what is asked"},
        "answer": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["question", "answer"],
    "additionalProperties": False,
}


def ask(server, folder, *prompts, schema=None, model=None, **options):
    async def run():
        settings = EndpointSettings(**{"base_url": server.url, "model": "m"} | options)
        async with ChatClient(settings, server.url, folder) as client:
            return [
                await client.ask(
                    [{"role": "user", "content": prompt}], max_tokens=5, temperature=0.5,
                    purpose="test", schema=schema, model=model,
                )
                for prompt in prompts
            ]  # fmt: skip

    return asyncio.run(run())


def test_strict_schema_requires_everything_and_allows_nothing_else():
    schema = strict(Pairs.model_json_schema())
    assert schema["$defs"] == {"Pair": STRICT_PAIR}
    assert schema["properties"] == {"pairs": {"type": "array", "items": {"$ref": "#/$defs/Pair"}}}
    assert (schema["required"], schema["additionalProperties"]) == (["pairs"], False)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"provider": "vllm"}, "json_schema"),
        ({"provider": "ollama"}, "json_schema"),
        ({"provider": "deepseek", "api_key": None}, "json_object"),
        ({"provider": "custom"}, None),
        ({"provider": "custom", "structured_output": "json_object"}, "json_object"),
        ({"provider": "vllm", "structured_output": "none"}, None),
    ],
)
def test_form_is_asked_for_as_far_as_the_provider_can(tmp_path, options, kind):
    with serve([say("{}")]) as server:
        ask(server, tmp_path, "a", schema=Pairs, **options)
    form = server.bodies[0].get("response_format")
    assert (form and form["type"]) == kind
    if kind == "json_schema":
        assert form["json_schema"]["name"] == "Pairs"
        assert form["json_schema"]["strict"] is True
        assert form["json_schema"]["schema"] == strict(Pairs.model_json_schema())


def test_endpoint_that_does_not_know_the_form_is_asked_without_from_then_on(tmp_path, caplog):
    def script(body, _):
        if "response_format" in body:
            return refuse(400, "Unknown parameter: 'response_format'")
        return say("{}")

    with serve(script) as server:
        first = ask(server, tmp_path, "a", "b", schema=Pairs, provider="vllm")
        again = ask(server, tmp_path, "a", "b", schema=Pairs, provider="vllm")
    assert ["response_format" in body for body in server.bodies] == [True, False, False]
    assert "structured_output: none" in caplog.text
    assert [r.text for r in again] == [r.text for r in first]


def test_model_of_a_role_is_asked_and_kept_apart(tmp_path):
    with serve([say("fine")]) as server:
        (first,) = ask(server, tmp_path, "a")
        (other,) = ask(server, tmp_path, "a", model="judge")
        (same,) = ask(server, tmp_path, "a", model="judge")
    assert [body["model"] for body in server.bodies] == ["m", "judge"]
    assert same.cached
    assert first.request_id != other.request_id == same.request_id


def test_request_id_is_the_beginning_of_the_name_in_the_cache(tmp_path):
    with serve([say("fine")]) as server:
        (reply,) = ask(server, tmp_path, "a")
        (again,) = ask(server, tmp_path, "a")
    (path,) = tmp_path.glob("??/*.json")
    assert len(reply.request_id) == 16
    assert path.stem.startswith(reply.request_id)
    assert again.request_id == reply.request_id


def test_models_that_reason_get_their_own_length_limit_and_no_temperature(tmp_path):
    with serve([say("fine")]) as server:
        ask(server, tmp_path, "a", provider="openai", api_key=None, model="gpt-5-mini")
        ask(server, tmp_path, "a", provider="openai", api_key=None, model="gpt-4.1")
    reasoning, other = server.bodies
    assert reasoning["max_completion_tokens"] == 5
    assert not {"max_tokens", "temperature"} & set(reasoning)
    assert (other["max_tokens"], other["temperature"]) == (5, 0.5)


def test_further_fields_are_sent_and_part_of_the_request(tmp_path):
    with serve([say("fine")]) as server:
        ask(server, tmp_path, "a")
        ask(server, tmp_path, "a", extra_body={"enable_thinking": False})
    assert len(server.bodies) == 2
    assert server.bodies[1]["enable_thinking"] is False


def test_token_counts_are_close_to_what_tokenizers_say():
    assert count_text("") == 0
    assert count_text("four") == 1
    assert count_text("Tidewater Optics was founded in 1987.") == 10
    assert count_text("潮水光学") == 4
    picture = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}]
    assert count_messages(messages) == 4 + 2 + IMAGE_TOKENS
