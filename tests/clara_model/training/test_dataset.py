"""Rows of a stage, and their division among ranks and micro-batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_model.errors import ConfigError, DataError
from clara_model.training.dataset import Dataset, count_micro_batches, split_batch
from clara_model.training.spec import TrainSpec

MakeSpec = Callable[..., TrainSpec]


def _write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _question(docs: list[str], answer: str = "Oslo", **more: object) -> dict:
    return {"question": "Where?", "docs": docs, "gold_answer": answer, "pos_index": [0], **more}


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.randoms())
def test_ranks_share_a_batch_without_loss_or_doubling(ranks, micro, times, random) -> None:
    size = ranks * micro * times
    rows = [{"docs": ["x" * random.randint(1, 50)], "id": i} for i in range(size)]
    parts = [part for rank in range(ranks) for part in split_batch(rows, micro, rank, ranks)]
    assert all(parts)
    assert sorted(row["id"] for part in parts for row in part) == list(range(size))


@pytest.mark.parametrize(
    ("batch", "micro", "ranks", "expected"),
    [(8, "auto", 1, 1), (8, 3, 1, 3), (8, 2, 2, 2), (32, 1, 1, 32)],
)
def test_micro_batches_make_up_the_global_batch(
    make_spec: MakeSpec, batch: int, micro: int | str, ranks: int, expected: int
) -> None:
    spec = make_spec(
        "stage1", num_processes=ranks, training={"batch_size": batch, "micro_batch_size": micro}
    )
    assert count_micro_batches(spec) == expected


def test_a_batch_that_ranks_cannot_share_is_refused(make_spec: MakeSpec) -> None:
    spec = make_spec("stage1", num_processes=3, training={"batch_size": 8})
    with pytest.raises(ConfigError, match=r"8 is not a multiple of .*3"):
        count_micro_batches(spec)


def test_without_documents_rows_all_come_from_the_world(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    world = _write(tmp_path / "world.jsonl", [_question(["a b"])])
    empty = _write(tmp_path / "empty.jsonl", [])
    spec = make_spec("stage3", documents=empty, world=world, world_share=0.2)
    assert [row["docs"] for row in Dataset(spec).batch(0)] == [["a b"]] * 4


def test_a_missing_world_leaves_all_to_the_documents(make_spec: MakeSpec, tmp_path: Path) -> None:
    own = _write(tmp_path / "own.jsonl", [_question(["a b"])])
    spec = make_spec("stage3", documents=own, world=tmp_path / "none.jsonl", world_share=0.5)
    assert [row["docs"] for row in Dataset(spec).batch(0)] == [["a b"]] * 4


def test_no_rows_at_all_are_refused_with_a_remedy(make_spec: MakeSpec, tmp_path: Path) -> None:
    empty = _write(tmp_path / "empty.jsonl", [])
    with pytest.raises(DataError, match=r"empty\.jsonl has no rows.*training\.world\.share"):
        Dataset(make_spec("stage3", documents=empty))


def test_short_candidate_lists_are_filled_without_giving_the_answer_away(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    full = _question(["gold Oslo", "b", "c", "d"])
    short = _question(["mine Oslo", "b"], id="short")
    path = _write(tmp_path / "rows.jsonl", [full, short])
    rows = Dataset(make_spec("stage3", documents=path)).batch(0)
    filled = next(row for row in rows if row["id"] == "short")["docs"]
    assert filled[:2] == ["mine Oslo", "b"]
    assert set(filled[2:]) == {"c", "d"}


def test_candidates_that_cannot_be_filled_are_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    rows = [_question(["Oslo 1", "Oslo 2", "Oslo 3"]), _question(["Oslo 1"], id="short")]
    path = _write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError, match="row short has 1 candidates, others have 3"):
        Dataset(make_spec("stage3", documents=path))


def test_the_longest_rows_come_again_where_there_are_too_few(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    rows = [_question(["a" * size, "b"], id=str(size)) for size in (5, 50, 500)]
    dataset = Dataset(make_spec("stage3", documents=_write(tmp_path / "rows.jsonl", rows)))
    assert [row["id"] for row in dataset.longest_rows(2)] == ["500", "50"]
    assert [row["id"] for row in dataset.longest_rows(5)] == ["500", "50", "5", "500", "50"]
