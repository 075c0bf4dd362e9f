"""Stage 3's rows after stage 2: negatives by the compressor of a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from scripted_endpoint import Act, Endpoint, say, serve
from tiny_workspace import tiny_workspace

from clara_model.errors import CheckpointError
from configs.schema import PipelineConfig
from tasks.indexing.build import load_model
from tasks.llm.spending import BudgetSpent
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


def judged_config(server: Endpoint) -> PipelineConfig:
    """One dollar for a million tokens asked with; 3 candidates, 2 of them negatives."""
    judge = {"base_url": server.url, "model": "m", "max_retries": 0, "concurrency": 1,
             "prices": {"m": {"prompt": 1e6, "completion": 0.0}}, "max_requests": 5}  # fmt: skip
    settings = config().model_dump(mode="json") | {"workspace": "."}
    settings["negatives"] |= {"llm_check": True, "judge": judge, "num_candidates": 3}
    return PipelineConfig.model_validate(settings)


def test_what_the_judge_took_is_counted_and_what_it_babbled_on_is_told(
    workspace: Workspace,
) -> None:
    """Three looks, one a question, 7 and 3 tokens each; then the same once more, for nothing."""

    def look(body: dict[str, Any], _: int) -> Act:
        about_the_first = "Osterly?" in body["messages"][-1]["content"].splitlines()[0]
        return say("hm" if about_the_first else json.dumps({"answering": []}))

    with serve(look) as server:
        first = remine_rows(judged_config(server), workspace)
        again = remine_rows(judged_config(server), workspace)
    spent = {"requests": 3, "prompt_tokens": 21, "completion_tokens": 9, "cost_usd": 21.0}
    assert (spent | {"rejected": 1}).items() <= first.counts.items()
    assert dict.fromkeys(spent, 0).items() <= again.counts.items()
    (reject,) = first.rejects
    assert reject.item == "How many ships has Osterly?"


def test_the_judges_budget_holds_here_and_a_higher_one_continues(workspace: Workspace) -> None:
    with serve(lambda body, _: say(json.dumps({"answering": []}))) as server:
        settings = judged_config(server)
        assert settings.negatives.judge is not None
        two = settings.negatives.judge.model_copy(update={"max_requests": 2})
        tight = settings.model_copy(
            update={"negatives": settings.negatives.model_copy(update={"judge": two})}
        )
        with pytest.raises(BudgetSpent, match=r"raise negatives\.judge\.max_requests"):
            remine_rows(tight, workspace)
        assert not workspace.end_to_end_memory.exists()
        assert remine_rows(settings, workspace).counts["requests"] == 1
        assert len(server.bodies) == 3


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
