"""The memory store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import clara_model.memory as memory
from clara_model import Clara
from clara_model.errors import CheckpointError, DataError
from clara_model.memory import MemoryStore, build_memory, compressor_hash


@pytest.fixture
def model(tiny_clara: Callable[..., Clara]) -> Clara:
    return tiny_clara()


def _texts(count: int) -> list[str]:
    return [f"Number {i} lives in {'a very ' * (i % 4)}small town." for i in range(count)]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_memories_are_those_of_compressing_on_the_fly(model: Clara, tmp_path: Path) -> None:
    texts = _texts(7)
    store = build_memory(model, texts, tmp_path / "store", batch_size=3)
    expected = model.compress_documents(texts)
    torch.testing.assert_close(store.lookup(texts), expected, rtol=1e-5, atol=1e-5)


def test_a_document_that_comes_often_is_compressed_once(model: Clara, tmp_path: Path) -> None:
    calls = []
    store = build_memory(
        model, _texts(3) * 5, tmp_path / "store", batch_size=2,
        on_progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert len(store) == 3
    assert calls == [(2, 3), (3, 3)]
    assert build_memory(model, _texts(3), tmp_path / "store", on_progress=calls.append)
    assert len(calls) == 2


def test_a_reopened_store_gives_the_same_rows(model: Clara, tmp_path: Path) -> None:
    key = compressor_hash(model)
    built = build_memory(model, _texts(5), tmp_path / "store", checkpoint_hash=key)
    opened = MemoryStore.open(tmp_path / "store", key)
    assert torch.equal(opened.lookup(_texts(5)), built.lookup(_texts(5)))
    assert _texts(5)[4] in opened
    assert "something else" not in opened


def test_a_build_that_was_cut_off_ends_with_the_same_bytes(
    model: Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_SHARD_DOCUMENTS", 4)
    texts = _texts(11)
    build_memory(model, texts, tmp_path / "whole", batch_size=2)

    def stop_at(done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_memory(model, texts, tmp_path / "cut", batch_size=2, on_progress=stop_at)
    build_memory(model, texts, tmp_path / "cut", batch_size=2)
    assert _files(tmp_path / "cut") == _files(tmp_path / "whole")
    assert len(_files(tmp_path / "cut")) == 4


def test_new_documents_are_added(model: Clara, tmp_path: Path) -> None:
    build_memory(model, _texts(3), tmp_path / "store")
    store = build_memory(model, _texts(6), tmp_path / "store")
    expected = model.compress_documents(_texts(6))
    torch.testing.assert_close(store.lookup(_texts(6)), expected, rtol=1e-5, atol=1e-5)


def test_another_compressor_opens_nothing_and_builds_anew(model: Clara, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    build_memory(model, _texts(3), folder)
    with torch.no_grad():
        model.embedding.weight.add_(0.1)
    with pytest.raises(CheckpointError, match="memories of compressor"):
        MemoryStore.open(folder, compressor_hash(model))
    store = build_memory(model, _texts(2), folder)
    assert len(store) == 2
    expected = model.compress_documents(_texts(2))
    torch.testing.assert_close(store.lookup(_texts(2)), expected, rtol=1e-5, atol=1e-5)


def test_the_hash_follows_the_compressor_alone(model: Clara) -> None:
    before = compressor_hash(model)
    model.prepare_stage("stage3")
    model.reset_adapter("decoder_adapter", 99)
    assert compressor_hash(model) == before
    model.reset_adapter("encoder_adapter", 99)
    assert compressor_hash(model) != before


def test_an_unknown_document_is_named(model: Clara, tmp_path: Path) -> None:
    store = build_memory(model, _texts(2), tmp_path / "store")
    with pytest.raises(DataError, match="no memory of the document 'never seen'"):
        store.lookup(["never seen"])


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no memory store"):
        MemoryStore.open(tmp_path, "abc")


def test_a_folder_of_other_things_is_left_alone(model: Clara, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="something else than memories"):
        build_memory(model, _texts(2), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
