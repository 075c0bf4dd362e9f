"""An endpoint at its worst: every request ends finished or refused, none twice, none lost."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from ports import free_port
from scripted_endpoint import Act, refuse, say, serve

from clara_model.errors import ServiceError
from configs.base import EndpointSettings
from tasks.llm import client as client_module
from tasks.llm.client import ChatClient, RequestRefused

PROMPTS = [str(i) for i in range(30)]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.01)


def ask_all(url, folder, prompts=PROMPTS, **options):
    async def run():
        given = {"base_url": url, "model": "m", "timeout_s": 5.0, "concurrency": 16} | options
        async with ChatClient(EndpointSettings(**given), url, folder) as client:
            replies = await asyncio.gather(
                *(
                    client.ask(
                        [{"role": "user", "content": prompt}],
                        max_tokens=5, temperature=0.0, purpose="test",
                    )
                    for prompt in prompts
                ),
                return_exceptions=True,
            )  # fmt: skip
        return replies, client

    return asyncio.run(run())


class Overloaded:
    """Serves so many at once and refuses the others with 429; counts whom it served."""

    def __init__(self, places, **headers):
        self.places, self.headers = places, headers
        self.served, self.refused = Counter(), 0
        self.busy, self.lock = 0, threading.Lock()

    def __call__(self, body, _):
        with self.lock:
            if self.busy == self.places:
                self.refused += 1
                return refuse(429, "slow down", **self.headers)
            self.busy += 1
        time.sleep(0.02)
        with self.lock:
            self.busy -= 1
            self.served[body["messages"][-1]["content"]] += 1
        return say("fine")


def test_storm_of_429_ends_with_every_request_served_once(tmp_path):
    overloaded = Overloaded(places=2)
    with serve(overloaded) as server:
        replies, client = ask_all(server.url, tmp_path)
    assert [getattr(r, "text", r) for r in replies] == ["fine"] * len(PROMPTS)
    assert overloaded.served == Counter(PROMPTS)
    assert overloaded.refused > 0
    assert client._gate.window.size < 16


def test_window_finds_what_the_endpoint_can_take(tmp_path):
    """Refusals stay few: without halving, 13 of 16 would be refused each time."""
    overloaded = Overloaded(places=3, Retry_After_Ms="20")
    with serve(overloaded) as server:
        ask_all(server.url, tmp_path, [str(i) for i in range(40)])
    assert sum(overloaded.served.values()) == 40
    assert overloaded.refused < 40


def test_pause_that_one_reply_asks_for_holds_for_all(tmp_path):
    """The first is refused for half a second; nobody else is sent in the meantime."""
    script = [refuse(429, "slow down", Retry_After="0.5"), say("fine")]
    with serve(script) as server:
        replies, _ = ask_all(server.url, tmp_path, PROMPTS[:6], concurrency=1)
    assert [r.text for r in replies] == ["fine"] * 6
    assert server.times[1] - server.times[0] >= 0.5


@pytest.mark.parametrize("seed", range(2))
def test_every_kind_of_fault_at_random(tmp_path, seed):
    dice, lock, served = random.Random(seed), threading.Lock(), Counter()
    good = say("fine")
    faults = [
        refuse(429, "slow down"), refuse(503, "busy", Retry_After="0.05"), refuse(500, "oops"),
        Act(status=502, body="<html>"), Act(body=good.body, cut=True),
        Act(body=good.body[: len(good.body) // 2]), Act(body="{}"), Act(body="null"), Act(body=""),
        Act(delay_s=0.6, body=good.body, cut=True),
    ]  # fmt: skip

    def script(body, _):
        prompt = body["messages"][-1]["content"]
        with lock:
            if prompt.endswith("7"):
                return refuse(400, "context too long")
            if dice.random() < 0.4:
                return dice.choice(faults)
            served[prompt] += 1
        return good

    with serve(script) as server:
        replies, _ = ask_all(server.url, tmp_path, max_retries=12, timeout_s=0.4)
    bad = {p for p in PROMPTS if p.endswith("7")}
    for prompt, reply in zip(PROMPTS, replies, strict=True):
        if prompt in bad:
            assert isinstance(reply, RequestRefused)
        else:
            assert reply.text == "fine"
    assert served == Counter(set(PROMPTS) - bad)
    assert len(list(tmp_path.glob("??/*.json"))) == len(PROMPTS) - len(bad)


def test_server_that_dies_and_returns_is_waited_for(tmp_path):
    port = free_port()
    served, lock = Counter(), threading.Lock()

    def script(body, _):
        with lock:
            served[body["messages"][-1]["content"]] += 1
        return say("fine", delay_s=0.02)

    def die_and_return(stack):
        time.sleep(0.15)
        first.close()
        time.sleep(0.6)
        stack.enter_context(serve(script, port))

    with ExitStack() as first, ExitStack() as second:
        server = first.enter_context(serve(script, port))
        breaker = threading.Thread(target=die_and_return, args=(second,))
        breaker.start()
        replies, _ = ask_all(server.url, tmp_path, concurrency=4, max_retries=9)
        breaker.join()
        assert [getattr(r, "text", r) for r in replies] == ["fine"] * len(PROMPTS)
        # Replies that the death cut off are asked again; no other is.
        assert set(served) == set(PROMPTS)
        assert sum(served.values()) <= len(PROMPTS) + 4


def test_body_that_drips_in_for_ever_is_left_after_the_timeout(tmp_path):
    """Each byte comes in time, the whole never does."""
    stop = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        began = time.monotonic()
        (error,), _ = ask_all(
            url, tmp_path, ["a"], timeout_s=0.3, connect_timeout_s=0.2, max_retries=0
        )
        assert time.monotonic() - began < 2.0
        stop.set()
        thread.join()
    assert isinstance(error, ServiceError)
    assert error.retryable
    assert "no answer within 0.3 s" in str(error)


def test_arrears_stop_everything_though_the_status_is_400(tmp_path):
    with serve([refuse(400, "overdue payment", "Arrearage")]) as server:
        errors, _ = ask_all(server.url, tmp_path, ["a", "b", "c"], concurrency=1)
    assert len(server.bodies) == 1
    assert all("overdue payment" in str(e) and "add credit" in str(e) for e in errors)
    assert not any(isinstance(e, RequestRefused) or e.retryable for e in errors)


def test_dashscope_calls_a_rate_a_quota_and_is_asked_again(tmp_path):
    with serve([refuse(429, "You exceeded your quota", "insufficient_quota"), say("fine")]) as s:
        (reply,), _ = ask_all(s.url, tmp_path, ["a"], provider="dashscope", api_key=None)
    assert reply.text == "fine"


def test_requests_per_minute_are_kept(tmp_path):
    """Ten a second, ten at once to begin with: fifteen take half a second."""
    with serve([say("fine")]) as server:
        ask_all(server.url, tmp_path, PROMPTS[:15], requests_per_minute=600)
    assert len(server.times) == 15
    assert 0.45 <= server.times[-1] - server.times[0] < 3.0


def test_stopped_run_waits_for_replies_on_their_way_and_drops_the_others(tmp_path):
    """A refused key stops the run; what was sent before is kept, what was waiting never sent."""

    def script(body, _):
        prompt = body["messages"][-1]["content"]
        return refuse(401, "no") if prompt == "1" else say("fine", delay_s=0.3)

    with serve(script) as server:

        async def run():
            given = EndpointSettings(base_url=server.url, model="m", concurrency=2)
            async with ChatClient(given, server.url, tmp_path) as client:
                await asyncio.gather(
                    *(
                        client.ask(
                            [{"role": "user", "content": p}],
                            max_tokens=5, temperature=0.0, purpose="test",
                        )
                        for p in PROMPTS[:6]
                    )
                )  # fmt: skip

        with pytest.raises(ServiceError, match="HTTP 401"):
            asyncio.run(run())
    assert sorted(server.prompts) == ["0", "1"]
    assert len(list(tmp_path.glob("??/*.json"))) == 1


def test_interrupted_run_keeps_the_replies_it_has_paid_for(tmp_path):
    """Ctrl-C cancels the main task: two replies on their way come in, four are never asked for."""
    with serve([say("fine", delay_s=0.4)]) as server:

        async def run():
            given = EndpointSettings(base_url=server.url, model="m", concurrency=2)
            async with ChatClient(given, server.url, tmp_path) as client:
                await asyncio.gather(
                    *(
                        client.ask(
                            [{"role": "user", "content": p}],
                            max_tokens=5, temperature=0.0, purpose="test",
                        )
                        for p in PROMPTS[:6]
                    )
                )  # fmt: skip

        async def interrupt():
            task = asyncio.create_task(run())
            while len(server.bodies) < 2:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(interrupt())
    assert sorted(server.prompts) == ["0", "1"]
    assert len(list(tmp_path.glob("??/*.json"))) == 2
