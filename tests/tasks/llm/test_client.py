"""The client against a real server that misbehaves in every way a provider does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from scripted_endpoint import Act, refuse, say, serve

from clara_model.errors import ConfigError, ServiceError
from configs.base import EndpointSettings
from tasks.llm import client as client_module
from tasks.llm.client import ChatClient, RequestRefused

ROOT = Path(__file__).resolve().parents[3]
KEY = "sk-planted-8f3e2d1c"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("PLANTED_KEY", KEY)


def settings(**options):
    return EndpointSettings(
        **{
            "base_url": "http://127.0.0.1:1/v1",
            "model": "m",
            "api_key": "${PLANTED_KEY}",
            "max_retries": 2,
            "timeout_s": 5.0,
        }
        | options
    )


def ask(url, folder, *prompts, together=True, **options):
    """Replies (or errors, as values) to the prompts, and the client that asked them."""

    async def run():
        async with ChatClient(settings(**options), url, folder) as client:

            def one(prompt):
                messages = [{"role": "user", "content": prompt}]
                return client.ask(messages, max_tokens=50, temperature=0.0, purpose="test")

            if together:
                replies = await asyncio.gather(*map(one, prompts), return_exceptions=True)
            else:
                replies = [(await asyncio.gather(one(p), return_exceptions=True))[0]
                           for p in prompts]  # fmt: skip
        return replies, client

    return asyncio.run(run())


def test_request_carries_model_messages_limits_and_key(tmp_path):
    with serve([say("hello")]) as server:
        (reply,), client = ask(server.url, tmp_path, "hi")
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 50,
            "temperature": 0.0,
        }
    ]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("hello", 7, 3)
    assert not reply.cached
    usage = client.usage["m"]
    assert (usage.requests, usage.cached, usage.prompt_tokens, usage.completion_tokens) == (
        1, 0, 7, 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [
        refuse(500, "oops"),
        refuse(503, "overloaded"),
        refuse(408, "too slow"),
        refuse(429, "slow down", "rate_limit_exceeded"),
        Act(status=502, body="<html>Bad Gateway</html>"),
        Act(body=say("cut off").body, cut=True),
        Act(body="<html>not JSON</html>"),
        Act(body="[1, 2]"),
        Act(body='{"choices": []}'),
        Act(body='{"error": {"message": "said with status 200"}}'),
    ],
    ids="500 503 408 429 html-502 cut html-200 list no-choice error-200".split(),
)
def test_passing_fault_is_survived(tmp_path, fault):
    with serve([fault, say("fine")]) as server:
        (reply,), client = ask(server.url, tmp_path, "hi")
    assert reply.text == "fine"
    assert len(server.bodies) == 2
    assert client.usage["m"].requests == 2
    assert client.usage["m"].prompt_tokens == 7


def test_endpoint_that_hangs_is_left_after_the_timeout_and_asked_again(tmp_path):
    with serve([say("late", delay_s=3.0), say("fine")]) as server:
        began = time.monotonic()
        (reply,), _ = ask(server.url, tmp_path, "hi", timeout_s=0.3)
        assert time.monotonic() - began < 2.0
    assert reply.text == "fine"


def test_retry_after_in_seconds_is_honoured(tmp_path):
    with serve([refuse(429, "slow down", Retry_After="0.6"), say("fine")]) as server:
        (reply,), _ = ask(server.url, tmp_path, "hi")
    assert reply.text == "fine"
    assert 0.6 <= server.times[1] - server.times[0] < 2.0


def test_retry_after_as_a_date_is_honoured(tmp_path):
    # Dates have whole seconds: two seconds ahead is at least one second to wait.
    date = formatdate(time.time() + 2, usegmt=True)
    with serve([refuse(503, "busy", Retry_After=date), say("fine")]) as server:
        (reply,), _ = ask(server.url, tmp_path, "hi")
    assert reply.text == "fine"
    assert 0.8 <= server.times[1] - server.times[0] < 3.0


def test_retry_after_that_means_nothing_is_ignored(tmp_path):
    with serve([refuse(429, "slow down", Retry_After="soon"), say("fine")]) as server:
        (reply,), _ = ask(server.url, tmp_path, "hi")
    assert reply.text == "fine"


def test_retry_after_of_an_hour_stops_and_says_so(tmp_path):
    with serve([refuse(429, "slow down", Retry_After="3600")]) as server:
        (error,), _ = ask(server.url, tmp_path, "hi")
    assert isinstance(error, ServiceError)
    assert error.retryable
    assert "3600 s" in str(error)
    assert len(server.bodies) == 1


def test_lasting_fault_ends_after_all_retries_and_names_the_url(tmp_path):
    with serve([refuse(500, "oops")]) as server:
        (error,), _ = ask(server.url, tmp_path, "hi", max_retries=2)
    assert isinstance(error, ServiceError)
    assert error.retryable
    assert len(server.bodies) == 3
    assert server.url in str(error)
    assert "3 attempts" in str(error)
    assert "oops" in str(error)


def test_nobody_listens(tmp_path):
    (error,), _ = ask("http://127.0.0.1:1/v1", tmp_path, "hi", max_retries=1)
    assert isinstance(error, ServiceError)
    assert "http://127.0.0.1:1/v1: no answer after 2 attempts" in str(error)


@pytest.mark.parametrize(
    ("act", "remedy"),
    [
        (refuse(401, f"Incorrect API key provided: {KEY}"), "api_key"),
        (refuse(403, "not for you"), "another `model` or key"),
        (refuse(404, "no such model"), "base_url"),
        (refuse(402, "pay first"), "credit"),
        (refuse(429, "You exceeded your quota", "insufficient_quota"), "quota is used up"),
        (
            refuse(429, "You exceeded your quota", "insufficient_quota", Retry_After="9999"),
            "quota is used up",
        ),
    ],
    ids=["401", "403", "404", "402", "quota", "quota-with-retry-after"],
)
def test_lasting_refusal_stops_everything_at_once(tmp_path, caplog, act, remedy):
    caplog.set_level(logging.DEBUG)
    with serve([act]) as server:
        errors, _ = ask(server.url, tmp_path, "a", "b", "c", together=False)
    assert len(server.bodies) == 1
    for error in errors:
        assert isinstance(error, ServiceError)
        assert not error.retryable
        assert server.url in str(error)
        assert remedy in str(error)
        assert KEY not in str(error)
    assert KEY not in caplog.text


def test_bad_request_is_refused_alone(tmp_path):
    def script(body, _):
        bad = body["messages"][0]["content"] == "bad"
        return refuse(400, "context too long") if bad else say("fine")

    with serve(script) as server:
        (bad, good), _ = ask(server.url, tmp_path, "bad", "good", together=False)
    assert isinstance(bad, RequestRefused)
    assert "context too long" in str(bad)
    assert good.text == "fine"
    assert len(server.bodies) == 2


def test_missing_key_is_named_before_anything_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("PLANTED_KEY")
    with pytest.raises(ConfigError, match="PLANTED_KEY"):
        ChatClient(settings(), "http://127.0.0.1:1/v1", tmp_path)


def test_second_run_asks_nothing(tmp_path):
    with serve([say("fine")]) as server:
        first, _ = ask(server.url, tmp_path, "a", "b")
        assert len(server.bodies) == 2
        again, client = ask(server.url, tmp_path, "a", "b")
    assert len(server.bodies) == 2
    assert [r.text for r in again] == [r.text for r in first]
    assert all(r.cached for r in again)
    usage = client.usage["m"]
    assert (usage.requests, usage.cached, usage.prompt_tokens) == (0, 2, 0)


def test_another_model_is_asked_anew(tmp_path):
    with serve([say("fine")]) as server:
        ask(server.url, tmp_path, "a")
        ask(server.url, tmp_path, "a", model="other")
    assert [body["model"] for body in server.bodies] == ["m", "other"]


def test_same_request_at_the_same_time_is_asked_once(tmp_path):
    with serve([say("fine", delay_s=0.2)]) as server:
        replies, client = ask(server.url, tmp_path, "a", "a", "a")
    assert len(server.bodies) == 1
    assert [r.text for r in replies] == ["fine"] * 3
    assert (client.usage["m"].requests, client.usage["m"].cached) == (1, 2)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b'{"reply": {"text"',
        b"\x00" * 64,
        b"\xff\xfe",
        b"[]",
        b'{"reply": null}',
        b'{"reply": {"text": "no counts"}}',
        b'{"reply": {"text": null, "prompt_tokens": 1, "completion_tokens": 1}}',
    ],
    ids=["empty", "torn", "zeros", "not-utf8", "list", "null", "no-counts", "no-text"],
)
def test_damaged_cache_file_is_asked_again_and_mended(tmp_path, caplog, damage):
    with serve([say("fine")]) as server:
        ask(server.url, tmp_path, "a")
        (path,) = tmp_path.rglob("*.json")
        whole = path.read_bytes()
        path.write_bytes(damage)
        (reply,), _ = ask(server.url, tmp_path, "a")
    assert reply.text == "fine"
    assert len(server.bodies) == 2
    assert str(path) in caplog.text
    assert path.read_bytes() == whole


def test_no_more_requests_under_way_than_allowed(tmp_path):
    prompts = [str(i) for i in range(12)]
    with serve([say("fine", delay_s=0.05)]) as server:
        replies, _ = ask(server.url, tmp_path, *prompts, concurrency=3)
    assert len(server.bodies) == 12
    assert server.most_under_way == 3
    assert {r.text for r in replies} == {"fine"}


def test_key_stands_in_no_file_error_or_log_record(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    echo = [refuse(500, f"key {KEY} failed"), refuse(400, f"key {KEY} is bad"), say("fine")]
    with serve(echo) as server:
        replies, _ = ask(server.url, tmp_path, "a", "b", together=False)
    assert isinstance(replies[0], RequestRefused)
    assert replies[1].text == "fine"
    error = replies[0]
    while error is not None:
        assert KEY not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for record in caplog.records:
        assert KEY not in record.getMessage() + repr(record.args) + str(record.exc_text)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(KEY.encode() not in path.read_bytes() for path in files)


def test_cache_file_tells_model_purpose_and_request_but_holds_no_pictures(tmp_path):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "Q" * 900}}
    with serve([say("fine")]) as server:
        ask(server.url, tmp_path, [{"type": "text", "text": "a prompt"}, picture])
    (path,) = tmp_path.rglob("*.json")
    entry = json.loads(path.read_text())
    assert (entry["model"], entry["purpose"]) == ("m", "test")
    assert entry["request"]["messages"][0]["content"][0]["text"] == "a prompt"
    assert "QQQ" not in path.read_text()


_ASKER = """
import asyncio, sys
from pathlib import Path
from configs.base import EndpointSettings
from tasks.llm.client import ChatClient

async def main(url, folder):
    settings = EndpointSettings(base_url=url, model="m", concurrency=1, timeout_s=60)
    async with ChatClient(settings, url, Path(folder)) as client:
        await asyncio.gather(*(
            client.ask([{"role": "user", "content": str(i)}], max_tokens=5, temperature=0.0,
                       purpose="test") for i in range(5)))

asyncio.run(main(*sys.argv[1:]))
"""


def test_killed_client_does_not_ask_finished_requests_again(tmp_path):
    """Three of five requests are answered, the fourth hangs; then kill -9 and a second start."""
    command = [sys.executable, "-c", _ASKER]

    def slow_fourth(_, number):
        return say("fine", delay_s=30.0 if number == 3 else 0.0)

    with serve(slow_fourth) as server:
        process = subprocess.Popen([*command, server.url, str(tmp_path)], cwd=ROOT)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (
            len(server.bodies) < 4 or len(list(tmp_path.rglob("*.json"))) < 3
        ):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert server.prompts == ["0", "1", "2", "3"]
        subprocess.run([*command, server.url, str(tmp_path)], cwd=ROOT, check=True, timeout=30)
    assert server.prompts == ["0", "1", "2", "3", "3", "4"]
    assert list(tmp_path.rglob("*.tmp")) == []
