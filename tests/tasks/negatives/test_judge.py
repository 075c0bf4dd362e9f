"""The model's look at candidates, against a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from scripted_endpoint import Act, refuse, say, serve

from clara_model.errors import ConfigError
from configs.schema import PipelineConfig
from tasks.llm.spending import BudgetSpent, Spending
from tasks.negatives.judge import judge_settings
from tasks.negatives.mine import Asked
from tasks.negatives.miner import block_miner
from tasks.negatives.pool import PassagePool
from tasks.storage import Reject
from tasks.workspace import Workspace

TEXTS = ["The tower is old.", "The tower has guests.", "The tower leans.", "Tea grows.", "Tower X."]


def judge_says(body: dict[str, Any]) -> list[int]:
    """Every passage that leans answers the question."""
    user = body["messages"][-1]["content"]
    lines = [line for line in user.splitlines() if line.startswith("[")]
    return [int(line[1]) for line in lines if "leans" in line]


def config(url: str, **options: Any) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {"negatives": {"llm_check": True, "num_candidates": 3, "max_relative_score": 9.0,
                       "judge": {"base_url": url, "model": "m"} | options},
         "model": {"generation_top_k": 1}}
    )  # fmt: skip


def mine(url: str, folder: Path) -> tuple[int, ...]:
    pool = PassagePool((str(i), text, "s") for i, text in enumerate(TEXTS))
    asked = [Asked("Which tower is it?", "nothing", (0,), "seed")]
    (picked,) = block_miner(pool, config(url), Workspace(folder))(asked)
    return picked.positions


def test_a_candidate_that_answers_gives_way_to_the_next(tmp_path: Path) -> None:
    def script(body: dict[str, Any], _: int) -> Act:
        return say(json.dumps({"answering": judge_says(body)}))

    with serve(script) as endpoint:
        positions = mine(endpoint.url, tmp_path)
        assert len(positions) == 2
        assert 2 not in positions
        asked = len(endpoint.bodies)
        assert mine(endpoint.url, tmp_path) == positions
        assert len(endpoint.bodies) == asked  # verdicts are kept


def test_candidates_stay_where_the_verdict_cannot_be_read(tmp_path: Path) -> None:
    with serve(lambda body, _: say("I cannot tell.")) as endpoint:
        assert len(mine(endpoint.url, tmp_path)) == 2


def test_the_embedded_endpoint_is_no_judge() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.judge\.base_url"):
        judge_settings(PipelineConfig.model_validate({"negatives": {"llm_check": True}}))


def test_a_list_that_is_never_answered_is_set_aside_and_the_others_are_judged(
    tmp_path: Path,
) -> None:
    """The server fails whenever it is asked about the garden, and answers all else."""

    def script(body: dict[str, Any], _: int) -> Act:
        if "garden" in body["messages"][-1]["content"]:
            return refuse(500, "out of memory")
        return say(json.dumps({"answering": judge_says(body)}))

    pool = PassagePool((str(i), text, "s") for i, text in enumerate(TEXTS))
    asked = [Asked(f"Which {what} is it?", "nothing", (0,), what) for what in ("tower", "garden")]
    with serve(script) as endpoint:
        settings = config(endpoint.url, max_retries=0)
        rejects: list[Reject] = []
        mine_block = block_miner(pool, settings, Workspace(tmp_path), rejects=rejects)
        tower, garden = mine_block(asked)
    assert 2 not in tower.positions
    assert len(garden.positions) == 2
    (reject,) = rejects
    assert reject.item == "Which garden is it?"
    assert "others are answered" in reject.reason


def test_the_endpoint_of_synthesis_looks_within_the_limits_of_synthesis(tmp_path: Path) -> None:
    """Two requests were spent on questions; a limit of two leaves none for a look."""
    pool = PassagePool((str(i), text, "s") for i, text in enumerate(TEXTS))
    with serve(lambda body, _: say(json.dumps({"answering": []}))) as endpoint:
        settings = PipelineConfig.model_validate(
            {"negatives": {"llm_check": True, "num_candidates": 3, "max_relative_score": 9.0},
             "synthesis": {"base_url": endpoint.url, "model": "m", "max_requests": 2},
             "model": {"generation_top_k": 1}}
        )  # fmt: skip
        workspace = Workspace(tmp_path)
        spending = Spending(settings.synthesis, "synthesis", workspace.cache / "spent")
        for _ in range(2):
            asyncio.run(spending.admit("m", 1, 1))
        spending.close()
        with pytest.raises(BudgetSpent, match=r"raise synthesis\.max_requests"):
            block_miner(pool, settings, workspace)([Asked("Which?", "nothing", (0,), "seed")])
        assert endpoint.bodies == []
