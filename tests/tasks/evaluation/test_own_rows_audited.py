"""The workspace's own normal rows: golds that BM25 found pass, golds that were put there do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import load_benchmarks
from tasks.manifests import run_step
from tasks.plan import build_plan
from tasks.rows.build import mine_rows
from tasks.rows.retrieved import audit_retrieved
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace

TOWNS = ("Osterly", "Norrin", "Pellane", "Ravel", "Merrow", "Auk", "Quill", "Tide")
N = 3


def passage(number: int, side: str, town: str) -> dict[str, Any]:
    text = f"The tower of {town}, number {number}, has {100 + number} steps."
    return {"id": f"p{number}", "source": f"{side}-{number}.md", "page": 1, "text": text,
            "language": "en", "tokens": 12, "split": side}  # fmt: skip


def synthesis(row: dict[str, Any], question: str) -> dict[str, Any]:
    answer = row["text"].split()[-2] + " steps"
    return {"passage_id": row["id"], "simple": [{"question": question, "answer": answer}],
            "provider": "embedded", "model": "rules", "prompt_version": "1"}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return PipelineConfig.model_validate({
        "workspace": str(tmp_path), "negatives": {"num_candidates": N},
        "model": {"generation_top_k": 2},
    })  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, config: PipelineConfig) -> Workspace:
    """Two held-out questions: one by the words of its passage, one in other words."""
    ws = Workspace(tmp_path)
    passages = [passage(i, "train", town) for i, town in enumerate(TOWNS[:6])]
    passages += [passage(i, "benchmark", TOWNS[i]) for i in (6, 7)]
    asked = [f"How many steps has the tower of {town}?" for town in TOWNS[:7]]
    # Shares words with the six training passages' towns, none with its own passage's town.
    asked.append("How high is it beside Osterly, Norrin, Pellane and Ravel?")
    write_jsonl(ws.passages, passages)
    write_jsonl(ws.synthesis, [synthesis(p, q) for p, q in zip(passages, asked, strict=True)])
    ws.raw_knowledge.touch()
    run_step(build_plan(config, ws)["mine"], ws, lambda: mine_rows(config, ws))
    return ws


def normal(workspace: Workspace) -> list[dict[str, Any]]:
    return read_records(workspace.benchmark / "normal.jsonl")


def give_gold(workspace: Workspace, *, marked: bool) -> None:
    """Put the second question's passage in the place of its last candidate."""
    found, missed = normal(workspace)
    gold = read_records(workspace.passages)[7]["text"]
    docs = [*missed["docs"][:-1], gold]
    given = {**missed, "docs": docs, "pos_index": [N - 1] if marked else []}
    write_jsonl(workspace.benchmark / "normal.jsonl", [found, given])


def test_rows_as_they_were_retrieved_pass(workspace: Workspace, config: PipelineConfig) -> None:
    found, missed = normal(workspace)
    assert (found["pos_index"], missed["pos_index"]) == ([0], [])
    assert audit_retrieved(workspace, normal(workspace))
    pools = [(b.name, b.pool, len(b.samples)) for b in load_benchmarks(config, workspace)]
    assert ("documents", "normal", 2) in pools


@pytest.mark.parametrize("marked", [True, False])
def test_a_gold_that_was_put_there_ends_the_evaluation(
    workspace: Workspace, config: PipelineConfig, marked: bool
) -> None:
    give_gold(workspace, marked=marked)
    name = normal(workspace)[1]["id"]
    with pytest.raises(DataError, match=rf"normal\.jsonl: rows {name} hold gold passages"):
        load_benchmarks(config, workspace)


def test_rows_of_passages_that_are_not_at_hand_are_taken_as_they_are(
    workspace: Workspace, config: PipelineConfig
) -> None:
    give_gold(workspace, marked=True)
    write_jsonl(workspace.passages, read_records(workspace.passages)[:4])
    assert not audit_retrieved(workspace, normal(workspace))
    workspace.passages.unlink()
    assert not audit_retrieved(workspace, normal(workspace))
    assert load_benchmarks(config, workspace)
