"""BM25, a bi-encoder and a cross-encoder rank candidates; the neural ones are tiny and random."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from clara_model.errors import CheckpointError, ConfigError
from clara_model.evaluation.systems import SystemOptions, open_system
from clara_model.evaluation.systems.retrievers import Bm25, Reranker, open_dense

WORDS = "where was ada lark born what is heron mills known for the seat city of kelso bells".split()


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Callable[[type], Path]:
    """Writes a tiny random BERT of a class, with its tokenizer."""

    def build(model_class: type) -> Path:
        folder = tmp_path_factory.mktemp("bert")
        vocabulary = folder / "vocab.txt"
        vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
        torch.manual_seed(3)
        config = BertConfig(
            vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64, initializer_range=1.0, num_labels=1,
        )  # fmt: skip
        model_class(config).save_pretrained(folder)
        BertTokenizerFast(str(vocabulary)).save_pretrained(folder)
        return folder

    return build


@pytest.fixture(scope="session")
def bi_encoder(bert: Callable[[type], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = tmp_path_factory.mktemp("bi-encoder")
    sentence_transformers.SentenceTransformer(str(bert(BertModel)), device="cpu").save(str(folder))
    return folder


def test_bm25_ranks_by_terms_over_all_candidates_together() -> None:
    questions = ["bells of heron", "ada lark"]
    candidates = [["ada was born", "heron bells", "no term"], ["mills", "the lark ada lark"]]
    rankings = Bm25().rank(questions, candidates)
    assert [r.order for r in rankings] == [[1, 0, 2], [1, 0]]
    assert rankings[0].scores[1:] == [0.0, 0.0]
    assert Bm25().rank(questions[:1], candidates[:1], top_n=1)[0].order == [1]


def test_dense_ranks_by_cosine_of_its_embeddings(
    bi_encoder: Path, tiny_base: Callable[..., Path]
) -> None:
    from sentence_transformers import SentenceTransformer

    system = open_system(f"dense:{bi_encoder}+text:{tiny_base()}", SystemOptions(k=1))
    pool = ["heron mills known for bells", "ada lark born", "the city of kelso", "seat"]
    questions = ["where was ada lark born", "what is heron mills known for"]
    encode = SentenceTransformer(str(bi_encoder), device="cpu").encode
    vectors, asked = encode(pool), encode(questions)
    cosine = asked @ vectors.T
    cosine /= np.outer(np.linalg.norm(asked, axis=1), np.linalg.norm(vectors, axis=1))
    for ranking, expected in zip(system.retrieve(questions, pool), cosine, strict=True):
        assert ranking.scores == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)
        assert [expected[i] for i in ranking.order] == pytest.approx(ranking.scores, abs=1e-5)
    assert system.retrieve(questions, pool) == system.retrieve(questions, [pool, list(pool)])


def test_reranker_rereads_the_best_of_the_retriever_in_front_of_it(
    bert: Callable[[type], Path], tiny_base: Callable[..., Path]
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = bert(BertForSequenceClassification)
    spec = f"bm25+rerank:{folder}+text:{tiny_base()}"
    system = open_system(spec, SystemOptions(depth=3))
    question = "where was ada lark born"
    texts = ["no match here", "ada lark born", "lark of kelso", "born where", "bells"]
    first = Bm25().rank([question], [texts])[0].order
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    scores = {i: float(model.predict([(question, texts[i])])[0]) for i in first[:3]}
    ranking = system.retrieve([question], [texts])[0]
    assert ranking.order == sorted(first[:3], key=lambda i: -scores[i]) + first[3:]
    assert ranking.scores[:3] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)
    assert ranking.scores == sorted(ranking.scores, reverse=True)


def test_reranker_alone_scores_every_candidate() -> None:
    class Longest:
        def predict(self, pairs: list[tuple[str, str]], **_: object) -> list[float]:
            return [float(len(text)) for _, text in pairs]

    rankings = Reranker(Longest()).rank(["q", "q"], [["a", "abc", "ab"], ["abcd"]])
    assert [r.order for r in rankings] == [[1, 2, 0], [0]]


def test_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'clara-pipeline\[retrieval\]'"):
        open_dense("BAAI/bge-small", device=None, trust_remote_code=False)


def test_folder_that_is_no_such_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot load as a SentenceTransformer"):
        open_dense(str(tmp_path), device=None, trust_remote_code=False)
