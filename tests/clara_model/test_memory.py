"""The memory store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import clara_model.memory as memory
from clara_model import Clara
from clara_model.errors import CheckpointError, ClaraError, DataError
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


@pytest.mark.parametrize("part", ["q_proj", "down_proj", "input_layernorm"])
def test_another_base_with_the_same_embeddings_is_another_compressor(
    model: Clara, part: str
) -> None:
    before = compressor_hash(model)
    names = [name for name, _ in model.decoder.named_parameters()
             if "layers.1" in name and part in name and "lora" not in name]  # fmt: skip
    assert len(names) == 1
    with torch.no_grad():
        model.decoder.get_parameter(names[0]).mul_(1.01)
    assert compressor_hash(model) != before


def _fails_on_more_than(limit: int, model: Clara, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let compressing run out of memory; returns how many documents were tried each time."""
    compress, sizes = model.compress_documents, []

    def compress_few(texts: list[str], batch_size: int) -> torch.Tensor:
        sizes.append(len(texts))
        if len(texts) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compress(texts, batch_size)

    monkeypatch.setattr(model, "compress_documents", compress_few)
    return sizes


def test_lack_of_memory_halves_the_documents_at_a_time_and_loses_none(
    model: Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_SHARD_DOCUMENTS", 8)
    expected, counts = model.compress_documents(_texts(11)), []
    sizes = _fails_on_more_than(3, model, monkeypatch)
    store = build_memory(
        model, _texts(11), tmp_path / "store", batch_size=8,
        on_progress=lambda done, total: counts.append((done, total)),
    )  # fmt: skip
    # Two shards, of 8 and 3; what fits in the first is kept for the second.
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    assert counts == [(done, 11) for done in (2, 4, 6, 8, 10, 11)]
    torch.testing.assert_close(store.lookup(_texts(11)), expected, rtol=1e-5, atol=1e-5)
    assert len(_files(tmp_path / "store")) == 3


def test_a_document_that_does_not_fit_alone_ends_the_build(
    model: Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = _fails_on_more_than(0, model, monkeypatch)
    with pytest.raises(ClaraError, match=r"single one at a time; lower model\.doc_max_length"):
        build_memory(model, _texts(3), tmp_path / "store")
    assert sizes == [3, 1]


def test_memories_without_room_on_the_disk_are_not_begun(
    model: Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_memory(model, _texts(2), tmp_path / "store")
    before = _files(tmp_path / "store")
    # 4 vectors of 32 float32 numbers a document: 1,024 bytes of two more, and 5 % for headers.
    free = SimpleNamespace(free=1075)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(ClaraError, match=r"disk space will be needed \(memories .*larger disk"):
        build_memory(model, _texts(4), tmp_path / "store")
    assert _files(tmp_path / "store") == before
    free.free = 1076
    assert len(build_memory(model, _texts(4), tmp_path / "store")) == 4
    free.free = 0
    assert len(build_memory(model, _texts(4), tmp_path / "store")) == 4


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
