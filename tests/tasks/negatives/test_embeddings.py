"""Embeddings from an endpoint on loopback: asked once, kept, and its failures told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from clara_model.errors import DataError, ServiceError
from configs.negatives import EmbeddingSettings
from configs.schema import PipelineConfig
from tasks.negatives.embeddings import EmbeddingCache, embed_texts, open_cache
from tasks.negatives.mine import Asked
from tasks.negatives.miner import block_miner
from tasks.negatives.pool import PassagePool
from tasks.workspace import Workspace

TOPICS = ("sea", "tea", "ore")


def vector(text: str) -> list[float]:
    """By topic, and a little by the text itself."""
    noise = hashlib.sha256(text.encode()).digest()[0] / 2560
    return [float(text.count(topic)) + noise for topic in TOPICS]


class Endpoint(ThreadingHTTPServer):
    """Answers /embeddings in reversed order; `status` other than 200 refuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[list[str]] = []
        self.failures: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server: Any = self.server
        status = server.failures.pop(0) if server.failures else 200
        reply: dict[str, Any] = {"error": {"message": "no", "code": "refused"}}
        if status == 200:
            server.asked.append(body["input"])
            data = [
                {"object": "embedding", "index": i, "embedding": vector(text)}
                for i, text in enumerate(body["input"])
            ]
            reply = {"object": "list", "model": "m", "data": data[::-1]}
        raw = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def settings_for(endpoint: Endpoint, **changes: Any) -> EmbeddingSettings:
    return EmbeddingSettings.model_validate(
        {"base_url": endpoint.url, "model": "m", "texts_per_request": 2, **changes}
    )


def test_vectors_come_in_the_texts_order_and_at_unit_length(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    texts = ["sea", "tea tea", "ore", "sea"]
    found = embed_texts(texts, settings_for(endpoint), tmp_path)
    rows = found.take(np.arange(4))
    expected = np.array([vector(text) for text in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.rows(1, 3), rows[1:3])
    assert sum(map(len, endpoint.asked)) == 3


def test_a_text_is_never_asked_twice_and_a_prefix_makes_another(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    settings = settings_for(endpoint)
    embed_texts(["sea", "tea"], settings, tmp_path)
    embed_texts(["tea", "ore"], settings, tmp_path)
    embed_texts(["tea"], settings, tmp_path, prefix="query: ")
    assert [text for batch in endpoint.asked for text in batch] == [
        "sea", "tea", "ore", "query: tea",
    ]  # fmt: skip


def test_finished_texts_survive_a_refusal_and_a_torn_file(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    settings = settings_for(endpoint, max_retries=0, concurrency=1, texts_per_request=1)
    endpoint.failures = [200, 200, 401]
    with pytest.raises(ServiceError, match=r"HTTP 401: no; .* valid key"):
        embed_texts(["sea", "tea", "ore"], settings, tmp_path)
    folder = open_cache(settings, tmp_path).folder
    kept = len(EmbeddingCache(folder))
    with (folder / "vectors.f32").open("ab") as stream:
        stream.write(b"torn")
    asked = len(endpoint.asked)
    embed_texts(["sea", "tea", "ore"], settings, tmp_path)
    assert len(endpoint.asked) - asked == 3 - kept
    again = embed_texts(["ore"], settings, tmp_path).take(np.arange(1))[0]
    own = np.array(vector("ore"))
    np.testing.assert_allclose(again @ own, np.linalg.norm(own), rtol=1e-5)


def test_an_overloaded_endpoint_is_asked_again(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.failures = [503]
    assert len(embed_texts(["sea"], settings_for(endpoint, max_retries=1), tmp_path)) == 1


def test_vectors_of_another_length_or_none_are_refused(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.add(["a"], np.ones((1, 3)))
    with pytest.raises(DataError, match="have 3 dimensions"):
        cache.add(["b"], np.ones((1, 4)))
    with pytest.raises(DataError, match="without a direction"):
        cache.add(["b"], np.zeros((1, 3)))


def test_dense_negatives_are_near_in_meaning_not_in_words(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    config = PipelineConfig.model_validate(
        {"negatives": {"strategies": {"dense": 1.0}, "num_candidates": 3,
                       "max_relative_score": 0.9999,
                       "dense": {"base_url": endpoint.url, "model": "m"}},
         "model": {"generation_top_k": 1}}
    )  # fmt: skip
    texts = ["sea sea gold", "deep sea wave", "tea hill", "ore vein", "sea sea tea fog"]
    pool = PassagePool((str(i), text, "s") for i, text in enumerate(texts))
    mine = block_miner(pool, config, Workspace(tmp_path))
    (picked,) = mine([Asked("sea sea sea?", "gold", (0,), "seed")])
    cosines = [np.dot(vector(t), vector("sea sea sea?")) / np.linalg.norm(vector(t)) for t in texts]
    bar = 0.9999 * cosines[0]
    expected = sorted((i for i in range(1, 5) if cosines[i] <= bar), key=lambda i: -cosines[i])[:2]
    assert list(picked.positions) == expected
    assert set(picked.found_by) == {"dense"}


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "HTTP 404: no; check `base_url`"), (402, "HTTP 402: no; the account needs credit"),
     (429, "HTTP 429: no; lower `concurrency`"), (500, "HTTP 500: no; run the same command")],
)  # fmt: skip
def test_a_refusal_says_what_the_provider_said_and_what_to_do(
    endpoint: Endpoint, tmp_path: Path, status: int, words: str
) -> None:
    endpoint.failures = [status]
    with pytest.raises(ServiceError) as caught:
        embed_texts(["sea"], settings_for(endpoint, max_retries=0), tmp_path)
    assert words in str(caught.value)
    assert "model 'm'" in str(caught.value)


@pytest.mark.parametrize(
    "option",
    [{"max_cost": 1.0}, {"max_requests": 9}, {"requests_per_minute": 9}, {"tokens_per_minute": 9},
     {"extra_body": {"user": "a"}}],
)  # fmt: skip
def test_what_embedding_requests_would_not_heed_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(option))}: not heeded"):
        EmbeddingSettings.model_validate({"base_url": "http://127.0.0.1:1/v1"} | option)
    # What was written out in full, defaults and all, is read again.
    whole = EmbeddingSettings().model_dump(mode="json")
    assert EmbeddingSettings.model_validate(whole) == EmbeddingSettings()


@pytest.mark.parametrize(
    ("negatives", "words"),
    [
        ({"strategies": {"bm25": 0.5, "dense": 0.5}}, "local_model"),
        ({"strategies": {"bm25": 0.5}}, "sum to 0.5"),
        ({"strategies": {"bm52": 1.0}}, "no strategy bm52"),
        ({"strategy": "bm25", "strategies": {"bm25": 1.0}}, "not both"),
        ({"dense": {"provider": "openai"}}, "makes embeddings"),
    ],
)
def test_impossible_settings_are_refused(negatives: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PipelineConfig.model_validate({"negatives": negatives})


def test_one_strategy_may_be_named_as_before() -> None:
    config = PipelineConfig.model_validate({"negatives": {"strategy": "random"}})
    assert config.negatives.strategies.random == 1.0
    assert config.negatives.strategies.bm25 == 0.0
