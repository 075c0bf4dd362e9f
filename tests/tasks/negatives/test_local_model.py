"""Dense negatives by a sentence-transformers model on this machine; it is tiny and random."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clara_model.errors import ConfigError
from configs.schema import PipelineConfig
from tasks.rows.build import mine_rows
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace

pytest.importorskip("sentence_transformers")

NOUNS = "harbour tower mill ferry bridge orchard".split()
PLACES = "osterly norrin pellane ravel merrow quill auk".split()
WORDS = [*NOUNS, *PLACES, "the", "of", "is", "old", "how", "steep", "query", "passage", ":", "?"]
PREFIXES = {"query_prefix": "query: ", "passage_prefix": "passage: "}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    bert, folder = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("encoder")
    vocabulary = bert / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    torch.manual_seed(0)
    settings = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=1.0,
    )  # fmt: skip
    BertModel(settings).save_pretrained(bert)
    BertTokenizerFast(str(vocabulary)).save_pretrained(bert)
    SentenceTransformer(str(bert), device="cpu").save(str(folder))
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Forty training passages of few words, each with a question."""
    ws = Workspace(tmp_path)
    about = [(noun, place) for noun in NOUNS for place in PLACES][:40]
    write_jsonl(ws.passages, (
        {"id": f"p{i}", "source": f"s{i // 8}.md", "language": "en", "split": "train",
         "text": f"the {noun} of {place} is old"}
        for i, (noun, place) in enumerate(about)
    ))  # fmt: skip
    write_jsonl(ws.synthesis, (
        {"passage_id": f"p{i}", "simple": [{"question": f"how steep is {noun} {place} ?",
                                            "answer": f"steepness {i}"}]}
        for i, (noun, place) in enumerate(about)
    ))  # fmt: skip
    return ws


def config(model: Path, **negatives: Any) -> PipelineConfig:
    dense = {"local_model": str(model), "texts_per_request": 16, **PREFIXES}
    limits = {"near_duplicate": 1.0, "max_relative_score": 100.0, "num_candidates": 6}
    return PipelineConfig.model_validate(
        {"negatives": {"strategies": {"dense": 1.0}, "dense": dense, **limits, **negatives},
         "model": {"generation_top_k": 3}, "training": {"world": {"share": 0}}}
    )  # fmt: skip


def test_mined_negatives_are_the_nearest_by_the_models_own_vectors(
    encoder: Path, workspace: Workspace
) -> None:
    from sentence_transformers import SentenceTransformer

    counts = mine_rows(config(encoder), workspace).counts
    assert (counts["negatives_dense"], counts["negatives_completed"]) == (40 * 5, 0)
    rows = read_records(workspace.end_to_end_data)
    texts = [passage["text"] for passage in read_records(workspace.passages)]
    encode = SentenceTransformer(str(encoder), device="cpu").encode
    vectors = encode([f"passage: {text}" for text in texts], normalize_embeddings=True)
    asked = encode([f"query: {row['question']}" for row in rows], normalize_embeddings=True)
    for row, cosines in zip(rows, asked @ vectors.T, strict=True):
        own = texts.index(row["docs"][row["pos_index"][0]])
        expected = sorted(np.delete(cosines, own), reverse=True)[:5]
        found = [cosines[texts.index(doc)] for doc in row["docs"] if doc != texts[own]]
        assert sorted(found, reverse=True) == pytest.approx(expected, abs=1e-5)


def test_second_mining_needs_no_model(
    encoder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine_rows(config(encoder), workspace)
    before = workspace.end_to_end_data.read_bytes()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    mine_rows(config(encoder), workspace)
    assert workspace.end_to_end_data.read_bytes() == before
    with pytest.raises(ConfigError, match=r"pip install 'clara-pipeline\[dense\]'"):
        mine_rows(config(encoder.parent), workspace)


def test_folder_that_is_no_model_is_a_user_error(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"local_model .*empty cannot be loaded"):
        mine_rows(config(tmp_path / "empty"), workspace)
