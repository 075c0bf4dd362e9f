"""Which rows of stage 1 a data mix keeps."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

from clara_model.errors import ConfigError, DataError
from clara_model.training.data_mix import mix_rows
from clara_model.training.dataset import Dataset
from clara_model.training.spec import TrainSpec
from clara_model.world import stage1_rows

NONE = {"simple": 0.0, "complex": 0.0, "paraphrase": 0.0}


def qa(document: str, kinds: list[str] | None = None, count: int = 2, **more: object) -> dict:
    row = {
        "data_type": "qa",
        "question": [f"{document} {i}?" for i in range(count)],
        "answers": [f"answer {i}" for i in range(count)],
        "docs": [document],
        **more,
    }
    return row if kinds is None else {**row, "kinds": kinds}


def paraphrase(document: str) -> dict:
    return {"data_type": "paraphrase", "question": [""], "answers": ["again"], "docs": [document]}


def test_a_kind_without_a_share_is_left_out_and_the_others_stay_whole() -> None:
    rows = [qa("a", ["simple", "complex"]), paraphrase("b"), qa("c", ["complex"], 1)]
    assert mix_rows(rows, {"complex": 0.0}, 0) == [
        {**rows[0], "question": ["a 0?"], "answers": ["answer 0"], "kinds": ["simple"]},
        rows[1],
    ]
    assert mix_rows(rows, NONE | {"complex": 1.0}, 0) == [
        {**rows[0], "question": ["a 1?"], "answers": ["answer 1"], "kinds": ["complex"]},
        rows[2],
    ]
    assert mix_rows(rows, NONE | {"paraphrase": 1.0}, 0) == [rows[1]]


def test_a_row_may_name_the_kind_of_all_its_questions() -> None:
    rows = [qa("a", kind="simple"), qa("b", kind="complex")]
    assert mix_rows(rows, {"simple": 0.0}, 0) == rows[1:]


def test_a_share_is_kept_by_draws_that_do_not_depend_on_the_other_rows() -> None:
    rows = [qa(f"document {i}", ["simple"], 1) for i in range(2000)]
    kept = mix_rows(rows, {"simple": 0.3}, 0)
    assert 0.27 < len(kept) / len(rows) < 0.33  # three standard deviations are 0.031
    assert mix_rows(rows[::-1], {"simple": 0.3}, 0) == kept[::-1]
    assert mix_rows(rows[:500], {"simple": 0.3}, 0) == [row for row in kept if row in rows[:500]]
    assert mix_rows(rows, {"simple": 0.3}, 1) != kept


def test_a_larger_share_keeps_what_a_smaller_one_kept() -> None:
    rows = [paraphrase(f"document {i}") for i in range(200)]
    few, more = (mix_rows(rows, {"paraphrase": share}, 0) for share in (0.2, 0.6))
    assert all(row in more for row in few)
    assert len(few) < len(more) < len(rows)


@pytest.mark.parametrize(("shares", "kept"), [((1, 0), 1), ((0, 1), 1), ((0, 0), 0)])
def test_rows_that_tell_no_kind_go_by_the_larger_share(
    shares: tuple[float, float], kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    mix = {"simple": shares[0], "complex": shares[1], "paraphrase": 1.0}
    with caplog.at_level(logging.INFO):
        assert len(mix_rows([qa("a")], mix, 0)) == kept
    assert ("do not tell simple questions from complex" in caplog.text) == (kept == 1)


def test_what_was_left_out_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        mix_rows([qa("a", ["complex"], 1), paraphrase("b")], {"complex": 0.0}, 0)
    assert "1 of 2 rows left out" in caplog.text


def test_no_share_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="leaves nothing to train on"):
        mix_rows([paraphrase("a")], NONE, 0)


def test_rows_of_the_world_tell_their_kind() -> None:
    rows = list(stage1_rows(60, 0, "train", paraphrase_share=0.4))
    for kind, is_kind in (
        ("paraphrase", lambda row: row["data_type"] == "paraphrase"),
        ("complex", lambda row: row["data_type"] == "qa" and len(row["question"]) == 1),
        ("simple", lambda row: len(row["question"]) > 1),
    ):
        assert mix_rows(rows, NONE | {kind: 1.0}, 0) == [row for row in rows if is_kind(row)] != []


def test_training_sees_the_mix_only(make_spec: Callable[..., TrainSpec], tmp_path) -> None:
    rows = [qa(f"text {i}", ["simple", "complex"]) for i in range(4)] + [paraphrase("p")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mix = {"simple": 1.0, "complex": 0.0, "paraphrase": 0.0}
    spec = make_spec("stage1", documents=path, training={"data_mix": mix, "steps": 2})
    seen = [row for step in range(2) for row in Dataset(spec).batch(step)]
    assert {tuple(row["kinds"]) for row in seen} == {("simple",)}
    assert {len(row["question"]) for row in seen} == {1}


def test_a_mix_without_rows_says_so(make_spec: Callable[..., TrainSpec]) -> None:
    spec = make_spec("stage1", training={"data_mix": NONE | {"paraphrase": 1.0}})
    with pytest.raises(DataError, match="no rows to train on"):
        Dataset(spec)
