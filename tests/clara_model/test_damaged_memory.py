"""A damaged memory store is mended by the next build, and opened by nobody before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import clara_model.memory
from clara_model import Clara
from clara_model.errors import CheckpointError
from clara_model.memory import MemoryStore, build_memory, compressor_hash

TEXTS = [f"Document {n} tells of {n * n} pears." for n in range(6)]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 64
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _garble(path: Path) -> None:
    path.write_bytes(b"\x00garbage")


@pytest.fixture
def model(tiny_clara: Callable[..., Clara], monkeypatch: pytest.MonkeyPatch) -> Clara:
    monkeypatch.setattr(clara_model.memory, "_SHARD_DOCUMENTS", 2)
    return tiny_clara().eval()


@pytest.mark.parametrize("harm", [_flip, _cut, _garble])
def test_what_a_damaged_shard_held_is_compressed_again(
    model: Clara, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    before = build_memory(model, TEXTS, tmp_path, batch_size=2).lookup(TEXTS)
    kept = (tmp_path / "shard-00002.safetensors").read_bytes()
    harm(tmp_path / "shard-00000.safetensors")
    assert build_memory(model, TEXTS, tmp_path, batch_size=2).lookup(TEXTS).equal(before)
    assert (tmp_path / "shard-00002.safetensors").read_bytes() == kept


def test_a_store_whose_description_is_damaged_is_made_anew(model: Clara, tmp_path: Path) -> None:
    before = build_memory(model, TEXTS, tmp_path, batch_size=2).lookup(TEXTS)
    _garble(tmp_path / "store.json")
    with pytest.raises(CheckpointError, match="compress the documents first"):
        MemoryStore.open(tmp_path, compressor_hash(model))
    assert build_memory(model, TEXTS, tmp_path, batch_size=2).lookup(TEXTS).equal(before)


def test_opening_a_cut_shard_names_it_and_the_command(model: Clara, tmp_path: Path) -> None:
    build_memory(model, TEXTS, tmp_path, batch_size=2)
    _cut(tmp_path / "shard-00001.safetensors")
    with pytest.raises(CheckpointError, match=r"shard-00001.*is damaged.*clara index --force"):
        MemoryStore.open(tmp_path, compressor_hash(model))
