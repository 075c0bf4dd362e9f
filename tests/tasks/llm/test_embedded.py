"""The embedded endpoint over HTTP: its models, its refusals, and a caption from real pixels."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw, ImageFont

from configs.base import EndpointSettings
from tasks.llm.client import ChatClient
from tasks.llm.embedded import MODEL, serve_embedded
from tasks.llm.endpoint import endpoint_url
from tasks.synthesis.prompts import build_messages


@pytest.fixture(scope="module")
def address():
    with serve_embedded() as url:
        yield urlsplit(url).netloc


def send(address, method, path, body=None, headers=None):
    """Status and JSON body of one request; the connection is closed."""
    connection = http.client.HTTPConnection(address, timeout=60)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, headers or {})
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "application/json"
    value = json.loads(response.read())
    connection.close()
    return response.status, value


def chat(*messages, **options):
    return {"model": MODEL, "messages": list(messages)} | options


def picture(text):
    image = Image.new("RGB", (520, 160), "white")
    ImageDraw.Draw(image).text((30, 50), text, fill="black", font=ImageFont.load_default(40))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


HELLO = {"role": "user", "content": "hello"}
KNOWN = {"role": "user", "content": "Task: paraphrase\n\n<passage>\nTom is a potter.\n</passage>"}


def test_models_lists_the_one_model(address):
    status, body = send(address, "GET", "/v1/models")
    assert status == 200
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["embedded-rules"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"not JSON", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        ([1, 2], 400, "not a JSON object"),
        ({"messages": [HELLO]}, 400, "'model' is missing"),
        ({"model": MODEL}, 400, "'messages'"),
        (chat(), 400, "'messages'"),
        (chat("hello"), 400, "'role' and 'content'"),
        (chat({"role": "user"}), 400, "'role' and 'content'"),
        (chat(KNOWN, {"role": "user", "content": ["bare words"]}), 400, "'content'"),
        (chat(HELLO, stream=True), 400, "streaming"),
        (chat(HELLO), 400, "Task: NAME"),
        (chat({"role": "user", "content": "Task: sing\n\n<passage>\nx\n</passage>"}), 400, "sing"),
        ({"model": "gpt-nothing", "messages": [HELLO]}, 404, "gpt-nothing"),
        ({"model": "\ud800", "messages": [HELLO]}, 404, "does not exist"),
        (
            chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
            400,
            "data URL",
        ),
    ],
    ids=[
        "not-json", "not-utf8", "too-deep", "list", "no-model", "no-messages", "empty-messages",
        "bare-message", "no-content", "bare-part", "stream", "no-task", "unknown-task",
        "unknown-model", "surrogate", "no-picture",
    ],
)  # fmt: skip
def test_bad_request_is_refused_in_openais_form(address, body, status, words):
    got, answer = send(address, "POST", "/v1/chat/completions", body)
    assert got == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error"
    assert words in answer["error"]["message"]


def test_unknown_model_has_openais_code(address):
    _, answer = send(address, "POST", "/v1/chat/completions", {"model": "x", "messages": [HELLO]})
    assert answer["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_path_is_refused(address, method):
    status, answer = send(address, method, "/v1/engines", {} if method == "POST" else None)
    assert status == 404
    assert "/v1/engines" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("length", "status"), [(None, 411), ("²", 411), ("-1", 411), ("99999999999", 413)]
)
def test_body_of_unknown_or_absurd_length_is_refused(address, length, status):
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.putrequest("POST", "/v1/chat/completions")
    if length is not None:
        connection.putheader("Content-Length", length.encode("latin-1"))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == status
    assert "message" in json.loads(response.read())["error"]
    connection.close()


def test_reply_has_the_form_of_a_chat_completion(address):
    status, body = send(address, "POST", "/v1/chat/completions", chat(KNOWN))
    assert status == 200
    assert (body["object"], body["model"]) == ("chat.completion", "embedded-rules")
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert isinstance(json.loads(choice["message"]["content"])["paraphrase"], str)
    usage = body["usage"]
    # Four bytes a token, begun ones count: the prompt has 55 bytes.
    assert len(KNOWN["content"].encode()) == 55
    assert usage["prompt_tokens"] == 14
    assert usage["total_tokens"] == 14 + usage["completion_tokens"]


def test_kept_connection_serves_again_after_a_refusal(address):
    connection = http.client.HTTPConnection(address, timeout=10)
    for body, status in ((b"{}", 400), (json.dumps(chat(KNOWN)).encode(), 200)):
        connection.request("POST", "/v1/chat/completions", body)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_our_prompts_are_understood_in_english_and_chinese(address):
    passages = [
        "Ada Lark was born in the city of Orford. The bridge of Kelso was built in 1904.",
        "林海研究所位于青川市。该桥建于1904年。",
    ]
    for passage in passages:
        body = chat(*build_messages("simple_qa", [passage], number=2))
        status, answer = send(address, "POST", "/v1/chat/completions", body)
        assert status == 200
        questions = json.loads(answer["choices"][0]["message"]["content"])["questions"]
        assert 1 <= len(questions) <= 2
        assert all(question["question"] for question in questions)


def test_picture_is_captioned_by_its_words_and_size(address):
    content = [
        {"type": "text", "text": "Describe the picture."},
        {"type": "image_url", "image_url": {"url": picture("Rain by month")}},
    ]
    body = chat({"role": "user", "content": content})
    status, answer = send(address, "POST", "/v1/chat/completions", body)
    assert status == 200
    caption = answer["choices"][0]["message"]["content"]
    assert "Rain by month" in caption
    assert "520 by 160 pixels" in caption


def test_client_reaches_it_past_a_proxy_and_knows_it_on_any_port(tmp_path, monkeypatch):
    """A port changes with every run; what was asked once is not asked again for that."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    settings = EndpointSettings(max_retries=0)

    async def ask(url):
        async with ChatClient(settings, url, tmp_path) as client:
            return await client.ask([KNOWN], max_tokens=50, temperature=0.0, purpose="test")

    replies = []
    with endpoint_url(settings) as first, endpoint_url(settings) as second:
        assert first != second
        replies += [asyncio.run(ask(first)), asyncio.run(ask(second))]
    assert [reply.cached for reply in replies] == [False, True]
    assert replies[0].text == replies[1].text


def test_configured_address_is_used_as_it_is():
    settings = EndpointSettings(base_url="https://example.org/v1/")
    with endpoint_url(settings) as url:
        assert url == "https://example.org/v1"
