"""The check of endpoints against a real server on loopback."""

from __future__ import annotations

import pytest
from scripted_endpoint import refuse, say, serve

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


def test_the_embedded_endpoint_needs_no_check() -> None:
    assert [f.state for f in check_endpoints(PipelineConfig())] == ["ok"]
