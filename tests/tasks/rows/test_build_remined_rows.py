"""Stage 3's rows after stage 2: negatives by the compressor of a tiny random model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from tiny_workspace import tiny_workspace

from clara_model.errors import CheckpointError
from configs.schema import PipelineConfig
from tasks.indexing.build import load_model
from tasks.plan import build_plan
from tasks.rows.build import mine_rows
from tasks.rows.remine import remine_rows
from tasks.storage import read_records, write_jsonl
from tasks.training.launch import build_spec
from tasks.workspace import Workspace

SHARES = {"bm25": 0.5, "memory": 0.5}


def config(shares: dict[str, float] = SHARES) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {
            "model": {"generation_top_k": 2, "doc_max_length": 64, "compr_rate": 16},
            "negatives": {"num_candidates": 5, "strategies": shares, "max_relative_score": 3.0},
            "training": {"world": {"share": 0.0}},
        }
    )


@pytest.fixture
def workspace(shared: Path, tmp_path: Path) -> Workspace:
    ws = tiny_workspace(tmp_path, shared, questions=2)
    towns = ["Osterly", "Norrin", "Pellane", "Ravel", "Merrow", "Auk", "Quill", "Tide"]
    passages: list[dict[str, Any]] = [
        {"id": f"p{i}", "source": "a.md", "split": "train", "language": "en",
         "text": f"{town} has {100 + i} ships."}
        for i, town in enumerate(towns)
    ]  # fmt: skip
    write_jsonl(ws.passages, passages)
    pairs = [{"question": f"How many ships has {t}?", "answer": f"{100 + i} ships"}
             for i, t in enumerate(towns)]  # fmt: skip
    write_jsonl(
        ws.synthesis,
        ({"passage_id": f"p{i}", "simple": [pair]} for i, pair in enumerate(pairs[:3])),
    )
    return ws


def test_memories_find_their_share_and_rows_keep_their_names(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    first = read_records(workspace.end_to_end_data)
    untouched = workspace.end_to_end_data.read_bytes()
    counts = remine_rows(config(), workspace).counts
    assert counts["end_to_end_rows"] == 3
    assert counts["negatives_bm25"] == counts["negatives_memory"] == 6
    assert workspace.end_to_end_data.read_bytes() == untouched
    rows = read_records(workspace.end_to_end_memory)
    assert [row["id"] for row in rows] == [row["id"] for row in first]
    model = load_model(workspace, "stage2")
    passages = read_records(workspace.passages)
    memory = model.compress_documents([p["text"] for p in passages]).flatten(1)
    for row in rows:
        query = model.compress_documents([row["question"]]).flatten(1)
        cosines = (F.normalize(query, dim=1) @ F.normalize(memory, dim=1).T)[0].tolist()
        (gold,) = row["pos_index"]
        by_words = {
            d for d, by in zip(row["doc_ids"], row["found_by"], strict=True) if by == "bm25"
        }
        free = [p["id"] for p in passages
                if p["id"] not in by_words and p["id"] != row["doc_ids"][gold]]  # fmt: skip
        nearest = sorted(free, key=lambda name: -cosines[int(name[1:])])[:2]
        found = {d for d, by in zip(row["doc_ids"], row["found_by"], strict=True) if by == "memory"}
        assert found == set(nearest)


def test_without_stage_two_the_step_says_what_is_missing(workspace: Workspace) -> None:
    for path in (workspace.models / "stage2").iterdir():
        path.unlink()
    with pytest.raises(CheckpointError):
        remine_rows(config(), workspace)


def test_the_plan_has_the_step_only_with_a_share_and_stage_three_reads_its_rows(
    workspace: Workspace,
) -> None:
    plan = build_plan(config(), workspace)
    names = list(plan)
    assert names.index("stage2") < names.index("remine") < names.index("stage3")
    assert workspace.end_to_end_memory in plan["stage3"].inputs
    assert plan["remine"].outputs == (workspace.end_to_end_memory,)
    spec = build_spec(config(), workspace, "stage3")
    assert spec.documents == workspace.end_to_end_memory.resolve()
    without = build_plan(config({"bm25": 1.0}), workspace)
    assert "remine" not in without
    assert workspace.end_to_end_data in without["stage3"].inputs
