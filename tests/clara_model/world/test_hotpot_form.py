"""The world in HotpotQA's form: structure as in the official file, facts where they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clara_model import world
from clara_model.rows import dump_line, read_rows


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return list(world.two_hop_rows(60, 0, "test", 10, one_hop_share=0.5))


@pytest.fixture(scope="module")
def records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(world.hotpot_records(rows))


def shape(value: Any) -> Any:
    """Types all the way down; of lists, the set of the shapes in them."""
    if isinstance(value, list):
        return ("list", frozenset(shape(item) for item in value))
    return type(value).__name__


def test_records_have_the_structure_of_the_official_file(
    records: list[dict[str, Any]], shared: Path
) -> None:
    with (shared / "benchmarks" / "hotpotqa_dev_distractor_200.jsonl").open() as lines:
        official = json.loads(next(lines))
    for record in records:
        record = json.loads(json.dumps(record))
        assert {k: shape(v) for k, v in record.items()} == {
            k: shape(v) for k, v in official.items()
        }
        assert len(record["context"]) == 10


def test_supporting_facts_name_the_next_document_and_state_the_answer(
    rows: list[dict[str, Any]], records: list[dict[str, Any]]
) -> None:
    assert {len(record["supporting_facts"]) for record in records} == {1, 2}
    for row, record in zip(rows, records, strict=True):
        context = dict(record["context"])
        assert len(context) == len(row["docs"])
        assert ["".join(sentences) for _, sentences in record["context"]] == row["docs"]
        assert all(title in text for title, text_ in context.items() for text in text_)
        facts = record["supporting_facts"]
        sentences = [context[title][index] for title, index in facts]
        assert f" {record['answer']}" in sentences[-1]
        if len(facts) == 2:
            assert facts[1][0] in sentences[0]
            assert "employ" in sentences[0]
        assert record["level"] == ("hard" if len(facts) == 2 else "easy")
        assert record["type"] == "bridge"


def test_our_own_loader_reads_the_records(records: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "hotpot.jsonl"
    path.write_text("".join(dump_line(record) for record in records))
    loaded = list(read_rows(path, "stage3"))
    assert [row["gold_answer"] for row in loaded] == [record["answer"] for record in records]
    title, sentences = records[0]["context"][0]
    assert loaded[0]["docs"][0] == f"{title}\n{''.join(sentences)}"


def test_all_rows_with_one_gold_can_take_the_form() -> None:
    for rows in (world.described_rows(20, 0, "dev", 10), world.benchmark_rows(20, 0, "dev", 10)):
        assert all(len(r["supporting_facts"]) == 1 for r in world.hotpot_records(rows))


def test_a_row_whose_gold_does_not_state_the_answer_is_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="'nowhere' stands in 0 sentences"):
        list(world.hotpot_records([{**rows[0], "gold_answer": "nowhere"}]))
