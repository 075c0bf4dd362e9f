from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_rows import TOWER, write_unanswerable, write_workspace

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.data_card.build import gather_card, write_card
from tasks.data_card.charts import count_bars, histogram
from tasks.data_card.markdown import card_markdown
from tasks.data_card.page import card_page
from tasks.storage import read_records, write_json, write_jsonl
from tasks.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    ws = write_workspace(tmp_path)
    write_jsonl(ws.rejected, [
        {"step": "synthesize", "item": "p-ferry", "reason": "asked before: Who?"},
        {"step": "synthesize", "item": "p-tea", "reason": "asked before: When?"},
        {"step": "extract", "item": "a.pdf", "reason": "page 7 of 12 is <broken>"},
        {"step": "extract", "item": "b.md", "reason": "picture 3 (https://x/y.svg): not fetched"},
        {"step": "extract", "item": "c.pdf", "reason": "c-0a1b2c3d4e5f.jpg: recurs: decoration"},
    ])  # fmt: skip
    return ws


@pytest.fixture
def config(workspace: Workspace) -> PipelineConfig:
    prices = {"gpt-x": {"prompt": 2.0, "completion": 10.0}}
    synthesis = {"provider": "openai", "model": "gpt-x", "prices": prices}
    return PipelineConfig.model_validate({"workspace": workspace.root, "synthesis": synthesis})


def test_counts_are_those_of_the_files(config: PipelineConfig, workspace: Workspace) -> None:
    card = gather_card(config, workspace)
    assert card["rows"] == {"stage 1": 2, "stage 2": 1, "stage 3": 1, "benchmark": 1}
    zero = dict.fromkeys(card["rows"], 0)
    assert card["kinds"] == {
        "simple_qa": zero | {"stage 1": 1, "stage 2": 1, "benchmark": 1},
        "joint_qa": zero | {"stage 3": 1},
        "paraphrase": zero | {"stage 1": 1},
    }
    assert card["languages"]["zh"] == zero | {"benchmark": 1}
    assert card["sources"]["tower.pdf"] == zero | {"stage 1": 2, "stage 2": 1, "stage 3": 1}
    assert card["passages"]["sides"] == {"train": 3, "benchmark": 1}
    assert card["gold_positions"] == {0: 1, 1: 1}
    assert card["captions"] == {"captioned": 1, "skipped": 1}
    assert (card["coverage"]["facts"], card["coverage"]["covered"]) == (6, 3)
    assert card["coverage"]["tenths"] == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert (card["coverage"]["passages"], card["coverage"]["questions"]) == (4, 1)
    assert card["coverage"]["by_source"]["ferry.md"] == {"passages": 1, "asked_about": 0}
    assert [(r["step"], r["reason"], r["count"]) for r in card["rejects"]] == [
        ("synthesize", "asked before", 2),
        ("extract", "page … of … is <broken>", 1),
        ("extract", "not fetched", 1),
        ("extract", "recurs", 1),
    ]


def test_held_out_questions_without_answer_are_counted_with_the_benchmark(
    config: PipelineConfig, workspace: Workspace
) -> None:
    write_unanswerable(workspace)
    card = gather_card(config, workspace)
    assert card["rows"]["benchmark"] == 2
    assert card["kinds"]["unanswerable"]["benchmark"] == 1


def test_lengths_are_told_in_words_without_a_tokenizer(
    config: PipelineConfig, workspace: Workspace
) -> None:
    lengths = {row["what"]: row for row in gather_card(config, workspace)["lengths"]}
    question = lengths["question"]  # "Who built the tower?"
    assert (question["number"], question["min"], question["max"]) == (1, 4, 4)
    assert question["unit"] == "words"
    assert lengths["passage"]["median"] == 14
    assert sum(lengths["passage"]["histogram"]["counts"]) == 4


def test_cost_comes_from_the_ledger_by_the_configured_prices(
    config: PipelineConfig, workspace: Workspace
) -> None:
    write_jsonl(workspace.cache / "spent" / "synthesis.jsonl", [
        {"model": "gpt-x", "requests": 1},
        {"model": "gpt-x", "prompt": 500_000, "completion": 100_000},
        {"model": "other", "prompt": 7, "completion": 1},
    ])  # fmt: skip
    rows = gather_card(config, workspace)["spending"]
    assert [(r["model"], r["requests"], r["cost_usd"]) for r in rows] == [
        ("gpt-x", 1, 2.0),
        ("other", 0, None),
    ]


def test_looks_at_negatives_cost_what_synthesis_would_where_no_judge_is_named(
    config: PipelineConfig, workspace: Workspace
) -> None:
    entry = {"model": "gpt-x", "requests": 1, "prompt": 500_000, "completion": 0}
    write_jsonl(workspace.cache / "spent" / "negatives.judge.jsonl", [entry])
    (row,) = gather_card(config, workspace)["spending"]
    assert (row["section"], row["cost_usd"]) == ("negatives.judge", 1.0)


def test_tokens_come_from_synthesis_where_no_ledger_was_kept(
    config: PipelineConfig, workspace: Workspace
) -> None:
    (row,) = gather_card(config, workspace)["spending"]
    assert (row["model"], row["prompt_tokens"], row["completion_tokens"]) == ("gpt-x", 150, 25)


def many_rows(workspace: Workspace, number: int) -> None:
    (row,) = read_records(workspace.instruction_data)
    rows = [{**row, "id": f"{n:016x}", "question": f"Who built {n}?"} for n in range(number)]
    write_jsonl(workspace.instruction_data, rows)


def drawn(config: PipelineConfig, workspace: Workspace, seed: int) -> list[str]:
    card = gather_card(config.model_copy(update={"seed": seed}), workspace)
    return [row["id"] for row in card["examples"]["simple_qa"] if row["purpose"] == "stage 2"]


def test_examples_follow_the_seed_not_the_order(
    config: PipelineConfig, workspace: Workspace
) -> None:
    many_rows(workspace, 50)
    first = drawn(config, workspace, 0)
    assert len(first) >= 1
    write_jsonl(workspace.instruction_data, reversed(read_records(workspace.instruction_data)))
    assert drawn(config, workspace, 0) == first
    assert len({tuple(drawn(config, workspace, seed)) for seed in range(4)}) > 1


def test_examples_show_the_gold_documents_and_the_taught_answer(
    config: PipelineConfig, workspace: Workspace
) -> None:
    examples = gather_card(config, workspace)["examples"]
    assert list(examples) == ["simple_qa", "joint_qa", "paraphrase"]
    (taught,) = (row for row in examples["simple_qa"] if row["purpose"] == "stage 2")
    assert taught["gold_documents"] == [TOWER]
    assert (taught["answer"], taught["taught_answer"]) == ("Mara Venn", "It was Mara Venn.")
    assert examples["paraphrase"][0]["gold_documents"] == [TOWER]


def test_the_page_stands_alone_and_escapes_what_it_shows(
    config: PipelineConfig, workspace: Workspace
) -> None:
    (row,) = read_records(workspace.instruction_data)
    evil = "<script>alert('x')</script>"
    write_jsonl(workspace.instruction_data, [{**row, "question": evil, "source": evil}])
    page = card_page(gather_card(config, workspace))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#)", page)
    assert "@import" not in page
    assert "url(" not in page
    assert page.count("<svg") >= 8
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_markdown_tables_keep_their_form(config: PipelineConfig, workspace: Workspace) -> None:
    (row,) = read_records(workspace.instruction_data)
    write_jsonl(workspace.instruction_data, [{**row, "source": "a|b\n*c*.md"}])
    text = card_markdown(gather_card(config, workspace))
    assert "| a\\|b \\*c\\*.md | 0 | 1 | 0 | 0 |" in text
    assert "| joint\\_qa | 0 | 0 | 1 | 0 |" in text
    assert "- No audit of the split was found." in text


def test_everything_is_written_and_the_same_twice(
    config: PipelineConfig, workspace: Workspace
) -> None:
    result = write_card(config, workspace)
    assert result.counts["rows"] == 5
    first = {path.name: path.read_bytes() for path in workspace.data_card.iterdir()}
    assert set(first) == {"card.html", "card.md", "card.json"}
    json.loads(first["card.json"])
    write_card(config, workspace)
    assert {path.name: path.read_bytes() for path in workspace.data_card.iterdir()} == first


def test_notes_name_stand_ins_leaks_and_breaches(
    config: PipelineConfig, workspace: Workspace
) -> None:
    (row,) = read_records(workspace.instruction_data)
    write_jsonl(workspace.instruction_data, [{**row, "provider": "embedded"}])
    write_json(workspace.audit, {"apart": False, "violations_counted": 3})
    notes = " ".join(gather_card(config, workspace)["notes"])
    assert "embedded rules" in notes
    assert "not apart: 3 violations" in notes
    assert "Only 1 held-out question" in notes


def test_a_workspace_without_rows_is_a_user_error(config: PipelineConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="clara mine"):
        write_card(config, Workspace(tmp_path / "empty"))


def widths(svg: str, style: str) -> list[float]:
    return [float(w) for w in re.findall(rf'class="{style}"[^>]*? width="([\d.]+)%"', svg)]


def test_bars_are_to_scale() -> None:
    counts: dict[str, Any] = {"a": {"x": 30, "y": 10}, "b<": {"x": 0, "y": 20}}
    svg = str(count_bars(counts, {"x": "part-0", "y": "rest"}, "title"))
    assert widths(svg, "part-0") == [75.0]
    assert widths(svg, "rest") == [25.0, 50.0]
    assert "b&lt;" in svg
    heights = re.findall(r'height="([\d.]+)"', str(histogram([1, 2, 0], ["a", "b", "c"], "t")))
    assert [float(h) for h in heights[1:]] == [55.0, 110.0, 0.0]
