from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clara_model.errors import DataError
from clara_model.row_dialects import guess_stage, normalise_row
from clara_model.rows import ROW_TYPES, read_rows

OWN_ROWS = {
    "stage1": {"data_type": "qa", "question": ["Q?"], "answers": ["A"], "docs": ["D"]},
    "stage2": {
        "question": "Q?",
        "docs": ["D"],
        "gold_answer": "A",
        "answer": "A.",
        "pos_index": [0],
    },
    "stage3": {"question": "Q?", "docs": ["D", "E"], "gold_answer": "A", "pos_index": [1]},
}


@pytest.mark.parametrize("stage", OWN_ROWS)
def test_our_own_rows_pass_untouched(stage: str) -> None:
    assert normalise_row(OWN_ROWS[stage], stage) == (OWN_ROWS[stage], [])


@pytest.mark.parametrize(
    ("stage", "record", "expected"),
    [
        (
            "stage2",
            {"instruction": "Explain.", "input": "", "output": "So.", "docs": ["D"]},
            {"question": "Explain.", "answer": "So.", "gold_answer": "So.", "docs": ["D"]},
        ),
        (
            "stage2",
            {"instruction": "Translate:", "input": "tea", "output": "茶", "docs": ["D"]},
            {"question": "Translate:\ntea", "answer": "茶", "gold_answer": "茶"},
        ),
        (
            "stage3",
            {"question": "Q?", "golden_answers": ["A", "B"], "context": "D"},
            {"gold_answer": "A", "golden_answers": ["A", "B"], "docs": ["D"], "pos_index": []},
        ),
        (
            "stage3",
            {"query": "Q?", "answer": "A", "content": ["D", "E"], "pos_idx": 1},
            {"question": "Q?", "gold_answer": "A", "docs": ["D", "E"], "pos_index": [1]},
        ),
        (
            "stage3",
            {"question": ["Q?"], "answers": ["A"], "ctxs": [{"title": "T", "text": "D"}]},
            {"question": "Q?", "gold_answer": "A", "docs": ["T\nD"]},
        ),
        (
            "stage3",
            {"question": "Q?", "answer": "A", "context": [["T", ["One.", " Two."]]]},
            {"docs": ["T\nOne. Two."]},
        ),
        (
            "stage3",
            {
                "question": "Q?",
                "answer": "A",
                "paragraphs": [
                    {"title": "T", "paragraph_text": "D", "is_supporting": False},
                    {"title": "", "paragraph_text": "E", "is_supporting": True},
                ],
            },
            {"docs": ["T\nD", "E"], "pos_index": [1]},
        ),
        (
            "stage1",
            {"question": "Q?", "answer": "A", "content": "D", "id": 7},
            {"data_type": "qa", "question": ["Q?"], "answers": ["A"], "docs": ["D"], "id": "7"},
        ),
        (
            "stage1",
            {"data_type": "paraphrase", "answers": ["P"], "docs": ["D"]},
            {"question": [""], "answers": ["P"]},
        ),
    ],
    ids=[
        "instruction", "instruction with input", "golden_answers and context", "query and content",
        "ctxs", "HotpotQA", "MuSiQue", "single pair", "paraphrase",
    ],
)  # fmt: skip
def test_a_dialect_becomes_a_valid_row(
    stage: str, record: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = json.dumps(record)
    row, mapped = normalise_row(record, stage)
    assert {key: row[key] for key in expected} == expected
    assert mapped
    ROW_TYPES[stage].model_validate(row)
    assert json.dumps(record) == before
    assert normalise_row(row, stage) == (row, [])


def test_it_says_what_it_mapped() -> None:
    _, mapped = normalise_row({"instruction": "Q", "output": "A", "docs": "D"}, "stage2")
    assert mapped == [
        "instruction -> question",
        "output -> answer",
        "answer -> gold_answer",
        "docs text -> list",
        "no pos_index -> empty",
    ]


def test_fields_it_does_not_know_stay() -> None:
    row, _ = normalise_row({"question": "Q", "answer": "A", "docs": ["D"], "level": 3}, "stage3")
    assert row["level"] == 3


@pytest.mark.parametrize(
    ("record", "stage"),
    [
        *((row, stage) for stage, row in OWN_ROWS.items()),
        ({"data_type": "paraphrase"}, "stage1"),
        ({"data_type": "instruction", "instruction": "Q"}, "stage2"),
        ({"stage": "stage3", "answer": "A"}, "stage3"),
        ({"question": "Q", "golden_answers": ["A"]}, "stage3"),
    ],
)
def test_stage_is_told_from_the_fields(record: dict[str, Any], stage: str) -> None:
    assert guess_stage(record) == stage


@settings(deadline=None)
@given(
    gold=st.sampled_from(["gold_answer", "golden_answers", "gold_answers", "answer", "answers"]),
    several=st.booleans(),
    documents=st.sampled_from(["docs", "documents", "context", "contexts", "content", "passages"]),
    form=st.sampled_from(["texts", "objects", "one text"]),
    position=st.sampled_from([0, [0], None]),
    asked=st.sampled_from(["question", "query"]),
    stage=st.sampled_from(["stage2", "stage3"]),
)
def test_every_mixture_of_the_known_names_is_read(
    gold: str, several: bool, documents: str, form: str, position: Any, asked: str, stage: str
) -> None:
    docs: Any = {"texts": ["D"], "objects": [{"text": "D"}], "one text": "D"}[form]
    record = {asked: "Q?", gold: ["A", "B"] if several else "A", documents: docs}
    if position is not None:
        record["pos_index"] = position
    row, mapped = normalise_row(record, stage)
    valid = ROW_TYPES[stage].model_validate(row).model_dump()
    assert (valid["question"], valid["docs"], valid["gold_answer"]) == ("Q?", ["D"], "A")
    assert valid["pos_index"] == ([] if position is None else [0])
    assert stage == "stage3" or valid["answer"] == "A"
    # Whatever is not in our own words is said.
    told = " ".join(mapped)
    assert (asked in told) == (asked != "question")
    assert (documents in told) == (documents != "docs" or form != "texts")
    assert gold in told or gold == "gold_answer"
    assert ("pos_index" in told) == (position != [0])
    assert normalise_row(row, stage) == (row, [])


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "title", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["id", "data_type", "question", "answers", "answer", "gold_answer", "docs", "context",
     "pos_index", "instruction", "input", "output", "golden_answers", "stage"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(_KEYS, _VALUES), st.sampled_from(sorted(ROW_TYPES)))
def test_any_object_is_survived_and_settled_at_once(record: dict[str, Any], stage: str) -> None:
    row, _ = normalise_row(record, stage)
    assert normalise_row(row, stage)[0] == row
    assert guess_stage(record) in ROW_TYPES


@pytest.mark.parametrize(
    ("name", "stage", "count"),
    [
        ("ml_clara_pretrain_1000", "stage1", 1000),
        ("fork_pretrain_data", "stage1", 10),
        ("fork_instruction_data", "stage2", 10),
        ("fork_end_to_end_data", "stage3", 10),
    ],
)
def test_given_files_load(shared: Path, name: str, stage: str, count: int) -> None:
    rows = list(read_rows(shared / "rows" / f"{name}.jsonl", stage))
    assert len(rows) == count
    assert all(row["docs"] for row in rows)


def test_loading_logs_each_mapping_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"query": "Q", "answer": "A", "docs": ["D"], "pos_index": [0]}\n' * 3)
    with caplog.at_level(logging.INFO, logger="clara_model.rows"):
        assert len(list(read_rows(path, "stage3"))) == 3
    (record,) = caplog.records
    assert "rows.jsonl:1" in record.getMessage()
    assert "query -> question, answer -> gold_answer" in record.getMessage()


def test_what_fits_no_dialect_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "Q", "answer": "A", "docs": ["D"]}\n{"question": "Q"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl:2: docs: Field required"):
        list(read_rows(path, "stage3"))
