"""A checkpoint whose files are damaged is told from a whole one."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_model.training.intact import DIGESTS, find_damage, write_digests


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.pt").write_bytes(bytes(range(200)))
    (tmp_path / "state.json").write_text("{}")
    write_digests(tmp_path)
    return tmp_path


def test_what_was_written_is_whole(checkpoint: Path) -> None:
    assert find_damage(checkpoint) is None


def test_a_checkpoint_without_digests_is_taken_as_it_is(checkpoint: Path) -> None:
    (checkpoint / DIGESTS).unlink()
    assert find_damage(checkpoint) is None


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_flip, "weights/model.pt is not what was written"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is not what was written"),
        (Path.unlink, "weights/model.pt is gone"),
        (lambda path: (path.parents[1] / DIGESTS).write_bytes(b"\xff\x00"), "cannot be read"),
        (lambda path: (path.parents[1] / DIGESTS).write_text("[1]"), "cannot be read"),
    ],
    ids=["bit_flipped", "cut", "gone", "digests_garbage", "digests_of_another_form"],
)
def test_damage_is_named(checkpoint: Path, harm, words: str) -> None:
    harm(checkpoint / "weights" / "model.pt")
    assert words in (find_damage(checkpoint) or "")
