"""The `mine` step on a small made-up corpus, English and Chinese."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clara_model.errors import ConfigError, DataError
from clara_model.rows import read_rows
from configs.schema import PipelineConfig
from configs.training import StageSettings, WorldSettings
from tasks.rows.audit import audit_split, find_violations
from tasks.rows.build import mine_rows
from tasks.rows.records import row_id
from tasks.rows.validate import validate_file
from tasks.rows.world_rows import rows_needed
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace

PLACES = ["Osterly", "Norrin", "Pellane", "Ravel", "Merrow", "Auk", "Quill", "Tide"]
ROW_FILES = [
    "pretrain_data.jsonl",
    "instruction_data.jsonl",
    "end_to_end_data.jsonl",
    "clara_training_data.jsonl",
    "benchmark/normal.jsonl",
    "benchmark/oracle.jsonl",
]


def passage(number: int, split: str, text: str | None = None) -> dict[str, Any]:
    place = PLACES[number % len(PLACES)]
    return {
        "id": f"p{number}",
        "source": f"{split}-{number // 2}.md",
        "page": 1,
        "heading": None,
        "text": text
        or f"The town of {place} number {number} has a tower of {100 + number} steps. 高{number}米",
        "language": "en",
        "tokens": 20,
        "split": split,
    }


def synthesis(number: int, split: str, pairs: int = 1) -> dict[str, Any]:
    place = PLACES[number % len(PLACES)]
    simple = [
        {
            "question": f"How many steps has tower {number} of {place}, asked {i}?",
            "answer": f"{100 + number} steps",
        }
        for i in range(pairs)
    ]
    return {
        "passage_id": f"p{number}",
        "source": f"{split}-{number // 2}.md",
        "language": "en",
        "split": split,
        "simple": simple,
        "complex": [{"question": f"Which town ({number}) has it?", "answer": f"{place} {number}"}]
        if number % 3 == 0
        else [],
        "paraphrase": f"There are {100 + number} steps in {place}." if number % 2 else None,
        "provider": "embedded",
        "model": "rules",
        "prompt_version": "1",
        "tokens": 10,
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Twelve training and four benchmark passages; one to three questions each."""
    ws = Workspace(tmp_path)
    splits = ["train"] * 12 + ["benchmark"] * 4
    write_jsonl(ws.passages, (passage(i, split) for i, split in enumerate(splits)))
    write_jsonl(ws.synthesis, (synthesis(i, s, 1 + i % 2) for i, s in enumerate(splits)))
    return ws


def config(**changes: Any) -> PipelineConfig:
    values: dict[str, Any] = {
        "negatives": {"num_candidates": 6},
        "model": {"generation_top_k": 3},
        **changes,
    }
    return PipelineConfig.model_validate(values)


def world(**changes: Any) -> dict[str, Any]:
    return {"world": {"share": 0.5, "rows_per_stage": 30, "benchmark_rows": 12, **changes}}


def change(path: Path, number: int, **fields: Any) -> None:
    rows = read_records(path)
    rows[number].update(fields)
    write_jsonl(path, rows)


def test_counts_tell_what_was_written(workspace: Workspace) -> None:
    result = mine_rows(config(), workspace)
    # Passages 0..11: one question, two where odd (6 x 1 + 6 x 2), and 0, 3, 6, 9 a complex one;
    # six odd ones have a paraphrase. Benchmark 12..15: 1 + 2 + 1 + 2, and 12, 15 a complex one.
    assert result.counts == {
        "pretrain_rows": 18,
        "instruction_rows": 22,
        "end_to_end_rows": 22,
        "benchmark_rows": 8,
        "world_rows": 0,
        "negatives_bm25": 22 * 5 + 8 * 5,
        "negatives_completed": 0,
        "rows_completed": 0,
        "rejected": 0,
    }
    assert len(read_records(workspace.all_training_data)) == 18 + 22 + 22


def test_rows_fit_the_formats_that_training_reads(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    assert len(list(read_rows(workspace.pretrain_data, "stage1"))) == 18
    assert all(len(r["docs"]) == 3 for r in read_rows(workspace.instruction_data, "stage2"))
    assert all(len(r["docs"]) == 6 for r in read_rows(workspace.end_to_end_data, "stage3"))
    for name in ROW_FILES:
        report = validate_file(workspace.root / name, top_k=3)
        assert report.errors == []


def test_gold_passage_stands_where_pos_index_says(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    texts = {p["id"]: p["text"] for p in read_records(workspace.passages)}
    rows = [
        *read_records(workspace.instruction_data),
        *read_records(workspace.end_to_end_data),
        *read_records(workspace.benchmark / "oracle.jsonl"),
    ]
    for row in rows:
        (gold,) = row["pos_index"]
        assert row["docs"][gold] == texts[row["passage_id"]]
        assert row["doc_ids"][gold] == row["passage_id"]
        assert row["docs"] == [texts[i] for i in row["doc_ids"]]
        assert len(set(row["doc_ids"])) == len(row["doc_ids"])
        assert row["gold_answer"] in row["docs"][gold] or row["kind"] == "complex_qa"
    assert len({row["pos_index"][0] for row in rows}) > 2


def test_normal_benchmark_lists_what_bm25_finds_and_the_golds_among_it(
    workspace: Workspace,
) -> None:
    vague = [{"question": "Anything else?", "answer": "Copper"}]
    change(workspace.synthesis, 12, simple=vague)
    mine_rows(config(), workspace)
    normal = read_records(workspace.benchmark / "normal.jsonl")
    oracle = read_records(workspace.benchmark / "oracle.jsonl")
    assert [row["id"] for row in normal] == [row["id"] for row in oracle]
    for row in normal:
        gold = [i for i, d in enumerate(row["doc_ids"]) if d == row["passage_id"]]
        assert row["pos_index"] == gold
    # No word of the vague question is anywhere: the first six passages come, benchmark side first.
    assert normal[0]["question"] == "Anything else?"
    assert normal[0]["doc_ids"] == ["p12", "p13", "p14", "p15", "p0", "p1"]
    assert normal[-1]["pos_index"] == [0]


def test_golds_may_be_missing_from_the_normal_benchmark(workspace: Workspace) -> None:
    vague = [{"question": "Anything else?", "answer": "Copper"}]
    change(workspace.synthesis, 15, simple=vague, complex=[])
    mine_rows(config(negatives={"num_candidates": 3}), workspace)
    row = read_records(workspace.benchmark / "normal.jsonl")[-1]
    assert (row["passage_id"], row["pos_index"]) == ("p15", [])


def test_every_row_tells_where_it_came_from(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    for name in ROW_FILES:
        for row in read_records(workspace.root / name):
            assert row["origin"] == "documents"
            assert row["kind"] in {"simple_qa", "complex_qa", "mixed", "paraphrase"}
            assert (row["model"], row["provider"], row["language"]) == ("rules", "embedded", "en")
            assert row["source"]
            assert row["passage_id"]
            assert len(row["id"]) == 16


def test_same_inputs_give_the_same_bytes(workspace: Workspace) -> None:
    settings = config(training=world())
    mine_rows(settings, workspace)
    files = sorted(p for p in workspace.root.rglob("*.jsonl"))
    before = [p.read_bytes() for p in files]
    mine_rows(settings, workspace)
    assert [p.read_bytes() for p in files] == before
    assert not list(workspace.root.rglob("*.tmp"))


def test_another_seed_moves_the_golds_but_keeps_ids(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    before = read_records(workspace.end_to_end_data)
    mine_rows(config(seed=1), workspace)
    after = read_records(workspace.end_to_end_data)
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert [row["pos_index"] for row in after] != [row["pos_index"] for row in before]


def test_fewer_passages_than_candidates_give_shorter_rows(workspace: Workspace) -> None:
    result = mine_rows(config(negatives={"num_candidates": 50}), workspace)
    sizes = {len(row["docs"]) for row in read_records(workspace.end_to_end_data)}
    # Twelve, or fewer where another passage holds the answer too.
    assert max(sizes) == 12
    assert min(sizes) >= 3
    assert result.counts["end_to_end_rows"] == 22


def test_passages_that_share_no_word_complete_a_row_and_are_counted(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    texts = ["Osterly has a tower.", "alpha beta", "gamma delta", "epsilon zeta", "eta theta"]
    write_jsonl(ws.passages, (passage(i, "train", text) for i, text in enumerate(texts)))
    row = synthesis(0, "train") | {
        "simple": [{"question": "What has Osterly?", "answer": "A tower"}],
        "complex": [],
    }
    write_jsonl(ws.synthesis, [row])
    result = mine_rows(config(negatives={"num_candidates": 4}), ws)
    assert result.counts["negatives_completed"] == 3
    assert result.counts["benchmark_rows"] == 0
    assert read_records(ws.benchmark / "oracle.jsonl") == []


def test_a_question_without_enough_candidates_is_set_aside(workspace: Workspace) -> None:
    # "tower" stands in every passage: none is left to be a negative.
    pairs = [{"question": "What do they all have?", "answer": "tower"}]
    change(workspace.synthesis, 2, simple=pairs)
    result = mine_rows(config(), workspace)
    (reject,) = result.rejects
    assert reject.item == "p2: What do they all have?"
    assert "1 candidates, fewer than model.generation_top_k 3" in reject.reason
    assert result.counts["rejected"] == 1


def test_text_on_both_sides_leaves_training(workspace: Workspace) -> None:
    held_out = read_records(workspace.passages)[13]["text"]
    change(workspace.passages, 4, text=held_out.upper())
    result = mine_rows(config(), workspace)
    assert [(r.item, r.reason) for r in result.rejects] == [
        ("p4", "same text as benchmark passage p13")
    ]
    assert all(row["passage_id"] != "p4" for row in read_records(workspace.all_training_data))


def test_question_on_both_sides_leaves_training(workspace: Workspace) -> None:
    question = read_records(workspace.synthesis)[12]["simple"][0]["question"]
    change(workspace.synthesis, 0, simple=[{"question": question.upper(), "answer": "100 steps"}])
    (reject,) = mine_rows(config(), workspace).rejects
    assert reject.reason == "asked already, of passage p12"
    assert reject.item.startswith("p0: ")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"simple": [{"question": " ", "answer": "x"}]}, "question or answer is empty"),
        ({"simple": [{"question": "Why?", "answer": ""}]}, "question or answer is empty"),
        ({"passage_id": "gone"}, "names a passage that is not in passages.jsonl"),
    ],
    ids=["no question", "no answer", "no passage"],
)
def test_unusable_synthesis_is_set_aside_with_a_reason(
    workspace: Workspace, fields: dict[str, Any], reason: str
) -> None:
    change(workspace.synthesis, 1, **fields)
    (reject,) = mine_rows(config(), workspace).rejects
    assert reason in reject.reason
    assert reject.step == "mine"


def test_missing_inputs_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"passages\.jsonl: no such file"):
        mine_rows(config(), Workspace(tmp_path))


def test_malformed_inputs_name_line_and_field(workspace: Workspace) -> None:
    change(workspace.passages, 3, split="elsewhere")
    with pytest.raises(DataError, match=r"passages\.jsonl:4: split: .*train.*benchmark"):
        mine_rows(config(), workspace)


def test_too_small_a_corpus_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    write_jsonl(ws.passages, [passage(0, "train"), passage(1, "train")])
    write_jsonl(ws.synthesis, [synthesis(0, "train")])
    with pytest.raises(DataError, match=r"2 training passages are too few.*add documents"):
        mine_rows(config(), ws)


def test_no_training_passage_is_an_error(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    write_jsonl(ws.passages, [passage(0, "benchmark")])
    write_jsonl(ws.synthesis, [synthesis(0, "benchmark")])
    with pytest.raises(DataError, match="no training passages; add documents"):
        mine_rows(config(), ws)


def test_no_question_is_an_error(workspace: Workspace) -> None:
    write_jsonl(workspace.synthesis, [])
    with pytest.raises(DataError, match="no question about a training passage"):
        mine_rows(config(), workspace)


def test_a_passage_id_twice_is_an_error(workspace: Workspace) -> None:
    change(workspace.passages, 3, id="p2")
    with pytest.raises(DataError, match="passage id p2 stands twice"):
        mine_rows(config(), workspace)


def test_a_source_on_both_sides_stops_the_step(workspace: Workspace) -> None:
    change(workspace.passages, 13, source="train-0.md")
    with pytest.raises(DataError, match=r"source train-0\.md is on both sides"):
        mine_rows(config(), workspace)


@pytest.mark.parametrize(
    ("file", "fields", "violation"),
    [
        ("clara_training_data.jsonl", {"passage_id": "p13"}, "is about benchmark passage p13"),
        ("clara_training_data.jsonl", {"source": "benchmark-6.md"}, "is about benchmark passage"),
        ("clara_training_data.jsonl", {"docs": None}, "shows a benchmark passage"),
        ("clara_training_data.jsonl", {"question": None}, "asks a benchmark question"),
        ("benchmark/oracle.jsonl", {"passage_id": "p1"}, "asks about training passage p1"),
    ],
    ids=["passage", "source", "text", "question", "benchmark row"],
)
def test_audit_finds_every_kind_of_leak(
    workspace: Workspace, file: str, fields: dict[str, Any], violation: str
) -> None:
    mine_rows(config(), workspace)
    audit_split(workspace)
    if "docs" in fields:
        fields = {"docs": [read_records(workspace.passages)[14]["text"]]}
    if "question" in fields:
        fields = {"question": [read_records(workspace.benchmark / "normal.jsonl")[2]["question"]]}
    change(workspace.root / file, 0, **fields)
    (found,) = find_violations(workspace)
    assert violation in found
    with pytest.raises(DataError, match="training and benchmark are not apart"):
        audit_split(workspace)


def test_world_rows_lie_beside_in_the_same_formats(workspace: Workspace) -> None:
    result = mine_rows(config(training=world()), workspace)
    folder = workspace.world
    assert result.counts["world_rows"] == 3 * 30 + 12
    stage1 = list(read_rows(folder / "pretrain_data.jsonl", "stage1"))
    stage2 = list(read_rows(folder / "instruction_data.jsonl", "stage2"))
    stage3 = list(read_rows(folder / "end_to_end_data.jsonl", "stage3"))
    assert len(stage1) == len(stage2) == len(stage3) == 30
    assert {row["data_type"] for row in stage1} == {"qa", "paraphrase"}
    assert {len(row["docs"]) for row in stage2} == {3}
    assert {len(row["docs"]) for row in stage3} == {6}
    assert {row["origin"] for row in (*stage1, *stage2, *stage3)} == {"world"}
    for name in ("normal", "oracle"):
        report = validate_file(
            folder / "benchmark" / f"{name}.jsonl", train=folder / "end_to_end_data.jsonl"
        )
        assert report.rows == {"stage3": 12}
        assert report.errors == []


def test_world_benchmark_is_also_written_in_the_form_of_hotpotqa(workspace: Workspace) -> None:
    mine_rows(config(training=world()), workspace)
    records = json.loads((workspace.world / "benchmark" / "hotpot_form.json").read_text())
    assert len(records) == 12
    assert {len(record["context"]) for record in records} == {10}
    assert {record["level"] for record in records} == {"easy", "hard"}


def test_world_normal_benchmark_has_no_namesake_of_the_gold(workspace: Workspace) -> None:
    # Many crowds from few names: namesakes with other facts are certain.
    mine_rows(config(training=world(benchmark_rows=300)), workspace)
    rows = read_records(workspace.world / "benchmark" / "normal.jsonl")
    oracle = read_records(workspace.world / "benchmark" / "oracle.jsonl")
    namesakes = 0
    documents = {text for row in oracle for text in row["docs"]}
    for row, source in zip(rows, oracle, strict=True):
        gold = source["docs"][source["pos_index"][0]]
        (name,) = _names(gold)  # the question gives it, or its code
        namesakes += sum(name in text for text in documents) - 1
        assert [i for i, text in enumerate(row["docs"]) if name in text] == row["pos_index"]
    assert namesakes > 0


def _names(document: str) -> set[str]:
    """Two-word names that every sentence of a world document repeats."""
    sentences = [s.split() for s in document.rstrip(".").split(". ")]
    pairs = [{f"{a} {b}" for a, b in pairwise(s) if a.istitle() and b.istitle()} for s in sentences]
    return set.intersection(*pairs)


def test_more_candidates_than_the_world_has_is_a_configuration_error(
    workspace: Workspace,
) -> None:
    with pytest.raises(ConfigError, match=r"negatives\.num_candidates 200 .* world"):
        mine_rows(config(negatives={"num_candidates": 200}, training=world()), workspace)


def test_row_ids_are_the_same_everywhere() -> None:
    # First 16 digits of SHA-256 of "qa", a unit separator, "p1" (computed with sha256sum).
    assert row_id("qa", "p1") == "8bc0de0ab8deb2fd"


def test_rows_are_one_json_object_a_line(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    for line in workspace.pretrain_data.read_text(encoding="utf-8").splitlines():
        assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize(
    ("steps", "batch_size", "share", "most", "needed"),
    [
        (100, 16, 0.9, 9000, 1440),
        (3, 5, 0.5, 9000, 8),
        (100, 16, 0.9, 30, 30),
        (None, 16, 0.9, 7, 7),
    ],
)
def test_a_stage_gets_as_many_world_rows_as_it_draws(
    steps: int | None, batch_size: int, share: float, most: int, needed: int
) -> None:
    stage = StageSettings(steps=steps, batch_size=batch_size)
    assert rows_needed(stage, WorldSettings(share=share, rows_per_stage=most)) == needed
