"""Limits on money and requests: they stop in time, lose nothing, and can be raised."""

from __future__ import annotations

import asyncio
import json

import pytest
from scripted_endpoint import Act, refuse, say, serve

from clara_model.errors import ConfigError
from configs.base import EndpointSettings
from tasks.llm.client import BudgetSpent, ChatClient
from tasks.llm.spending import Spending

# 7 prompt and 3 reply tokens each (scripted_endpoint.say): a dollar a reply token, prompts free.
DEAR = {"m": {"prompt": 0.0, "completion": 1e6}}


def run(url, folder, prompts, **options):
    """Asks all prompts as a step does; returns the error that ended it, if any, and the client."""

    async def ask_all():
        settings = EndpointSettings(**{"base_url": url, "model": "m", "max_retries": 1} | options)
        error = None
        try:
            async with ChatClient(settings, url, folder, section="synthesis") as client:
                await asyncio.gather(
                    *(
                        client.ask(
                            [{"role": "user", "content": prompt}],
                            max_tokens=50, temperature=0.0, purpose="test",
                        )
                        for prompt in prompts
                    )
                )  # fmt: skip
        except (BudgetSpent, ConfigError) as err:
            error = err
        return error, client

    return asyncio.run(ask_all())


def test_max_requests_stops_keeps_what_was_under_way_and_continues(tmp_path):
    prompts = [str(i) for i in range(10)]
    with serve([say("fine", delay_s=0.2)]) as server:
        error, _ = run(server.url, tmp_path, prompts, max_requests=4, concurrency=8)
        assert isinstance(error, BudgetSpent)
        assert not error.retryable
        assert len(server.bodies) == 4
        again, _ = run(server.url, tmp_path, prompts, max_requests=4)
        assert isinstance(again, BudgetSpent)
        assert len(server.bodies) == 4  # a new run is no new budget
        done, client = run(server.url, tmp_path, prompts, max_requests=10)
    assert done is None
    assert sorted(server.prompts) == sorted(prompts)  # each paid once
    assert client.counts()["cached"] == 4


def test_message_says_what_was_spent_and_how_to_continue(tmp_path):
    with serve([say("fine")]) as server:
        error, _ = run(server.url, tmp_path, list("abc"), max_requests=2, prices=DEAR)
    assert "synthesis.max_requests 2" in str(error)
    assert "m: 2 requests, 14 tokens in, 6 out, 6.0000 USD" in str(error)
    assert "raise synthesis.max_requests and run the same command again" in str(error)


def test_max_cost_is_never_passed_even_with_many_at_once(tmp_path):
    # A request may cost 50 dollars and costs 3: after 17 of them less than 50 of 100 are left.
    prompts = [str(i) for i in range(40)]
    with serve([say("fine", delay_s=0.01)]) as server:
        error, client = run(
            server.url, tmp_path, prompts, max_cost=100.0, prices=DEAR, concurrency=8
        )
        assert isinstance(error, BudgetSpent)
        assert len(server.bodies) == 17
        assert client.counts()["cost_usd"] == 51.0
        error, client = run(server.url, tmp_path, prompts, max_cost=200.0, prices=DEAR)
    assert error is None
    assert len(server.bodies) == 40
    assert len(set(server.prompts)) == 40
    assert client.counts()["cost_usd"] == 69.0
    assert client.counts()["cost_usd_all_runs"] == 120.0


def test_max_cost_without_a_price_is_refused_before_anything_is_sent(tmp_path):
    with serve([say("fine")]) as server:
        error, _ = run(server.url, tmp_path, ["a"], max_cost=1.0)
    assert isinstance(error, ConfigError)
    assert "synthesis.prices" in str(error)
    assert server.bodies == []


UNCOUNTED = [
    {}, {"usage": None}, {"usage": {}},
    {"usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}},
]  # fmt: skip


@pytest.mark.parametrize("usage", UNCOUNTED, ids=["none", "null", "empty", "nulls"])
def test_reply_that_nobody_counted_is_paid_once_and_counted_here(tmp_path, usage):
    """Five tokens of prompt (four of its frame), two of the eight letters that come back."""
    body = {"choices": [{"message": {"role": "assistant", "content": "allright"}}]} | usage
    with serve([Act(body=json.dumps(body))]) as server:
        error, client = run(server.url, tmp_path, ["hi"])
    assert error is None
    assert len(server.bodies) == 1
    used = client.usage["m"]
    assert (used.prompt_tokens, used.completion_tokens) == (5, 2)


def test_max_cost_holds_where_the_endpoint_counts_nothing(tmp_path):
    # A request may cost 50 dollars and costs 2: after 26 of them less than 50 of 100 are left.
    body = {"choices": [{"message": {"role": "assistant", "content": "allright"}}]}
    prompts = [str(i) for i in range(40)]
    with serve([Act(body=json.dumps(body))]) as server:
        error, _ = run(server.url, tmp_path, prompts, max_cost=100.0, prices=DEAR)
    assert isinstance(error, BudgetSpent)
    assert len(server.bodies) == 26


def test_failed_attempts_count_as_requests(tmp_path):
    with serve([refuse(500, "oops"), say("fine")]) as server:
        error, client = run(server.url, tmp_path, ["a", "b"], max_requests=2, concurrency=1)
    assert isinstance(error, BudgetSpent)
    assert client.usage["m"].requests == 2
    assert client.usage["m"].completion_tokens == 3


def test_unknown_price_is_said_to_be_unknown(tmp_path):
    with serve([say("fine")]) as server:
        _, client = run(server.url, tmp_path, ["a"])
    assert "cost_usd" not in client.counts()
    assert client.note() == "10 tokens, cost unknown"
    assert "price unknown" in client.spending.describe(client.usage)


def test_cost_is_told_by_model(tmp_path):
    settings = EndpointSettings(
        base_url="https://api.openai.com/v1", prices={"own": {"prompt": 1.0, "completion": 3.0}}
    )
    spending = Spending(settings, "synthesis", tmp_path)
    spending.pay("gpt-4.1-mini", 1_000_000, 500_000)  # 0.40 + 0.80
    spending.pay("own", 2_000_000, 1_000_000)  # 2.00 + 3.00
    counts = spending.counts()
    assert counts["gpt-4.1-mini/cost_usd"] == pytest.approx(1.2)
    assert counts["own/cost_usd"] == pytest.approx(5.0)
    assert counts["cost_usd"] == pytest.approx(6.2)
    assert spending.note() == "4.5M tokens, 6.20 USD"


def test_count_on_disk_outlives_a_torn_line(tmp_path):
    settings = EndpointSettings(base_url="http://127.0.0.1:1/v1", model="m")
    first = Spending(settings, "synthesis", tmp_path)
    first.pay("m", 10, 5)
    first.close()
    with first.path.open("a") as stream:
        stream.write('\n{"model": "m", "prom')
    second = Spending(settings, "synthesis", tmp_path)
    second.pay("m", 20, 7)
    second.close()
    third = Spending(settings, "synthesis", tmp_path)
    assert (third.total["m"].prompt_tokens, third.total["m"].completion_tokens) == (30, 12)
    assert third.run == {}
