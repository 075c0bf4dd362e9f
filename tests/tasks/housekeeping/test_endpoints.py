"""The check of endpoints against a real server on loopback."""

from __future__ import annotations

import json

import pytest
from scripted_endpoint import Act, refuse, say, serve

from configs.schema import PipelineConfig
from tasks.housekeeping.endpoints import check_endpoints


def config_for(url: str) -> PipelineConfig:
    endpoint = {"base_url": url, "model": "m", "api_key": "${PLANTED_TEST_KEY}"}
    return PipelineConfig.model_validate({"synthesis": endpoint, "captioning": endpoint})


def test_each_model_is_asked_for_one_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_TEST_KEY", "sk-1")
    with serve([say("Yes")]) as endpoint:
        [found] = check_endpoints(config_for(endpoint.url))
    assert found.state == "ok"
    assert [body["max_tokens"] for body in endpoint.bodies] == [1]
    assert endpoint.headers[0]["Authorization"] == "Bearer sk-1"


def test_a_wrong_key_a_missing_one_and_a_dead_endpoint_have_their_remedies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLANTED_TEST_KEY", "sk-wrong-123456")
    with serve([refuse(401, "Incorrect API key provided")]) as endpoint:
        [wrong] = check_endpoints(config_for(endpoint.url))
    assert wrong.state == "missing"
    assert "PLANTED_TEST_KEY" in wrong.detail + wrong.remedy
    assert "sk-wrong-123456" not in wrong.detail + wrong.remedy
    [dead] = check_endpoints(config_for("http://127.0.0.1:9/v1"))
    assert dead.state == "missing"
    assert "base_url" in dead.remedy
    monkeypatch.delenv("PLANTED_TEST_KEY")
    [unset] = check_endpoints(config_for("http://127.0.0.1:9/v1"))
    assert "export PLANTED_TEST_KEY" in unset.remedy


def test_embeddings_are_tried_as_such_and_only_where_negatives_are_chosen_by_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLANTED_TEST_KEY", "sk-1")
    vectors = {"object": "list", "model": "e", "data": [
        {"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]}  # fmt: skip
    with serve([Act(body=json.dumps(vectors)), say("Yes")]) as endpoint:
        dense = {"base_url": endpoint.url, "model": "e", "api_key": "${PLANTED_TEST_KEY}"}
        negatives = {"dense": dense, "strategies": {"bm25": 0.5, "dense": 0.5}}
        used = PipelineConfig.model_validate({"negatives": negatives})
        [found] = check_endpoints(used)
        assert (found.state, found.detail.rpartition(" answers ")[2]) == ("ok", "(1 embedding)")
        assert [body["input"] for body in endpoint.bodies] == [["yes"]]
        [chats] = check_endpoints(used)
        assert chats.state == "missing"
        assert "makes them" in chats.detail
        assert "negatives.dense.model" in chats.remedy
        unused = PipelineConfig.model_validate({"negatives": {"dense": dense}})
        assert [f.what for f in check_endpoints(unused)] == ["endpoints"]
        assert len(endpoint.bodies) == 2


def test_the_embedded_endpoint_needs_no_check() -> None:
    assert [f.state for f in check_endpoints(PipelineConfig())] == ["ok"]
