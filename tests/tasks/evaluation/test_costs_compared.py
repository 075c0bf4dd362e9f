"""What a system's cost is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_workspace import tiny_config, tiny_workspace

from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import load_benchmarks
from tasks.evaluation.costs import cost_path, read_cost, with_pay_off
from tasks.evaluation.entrants import list_entrants
from tasks.evaluation.jobs import plan_jobs
from tasks.storage import Record, write_json


def cost(kind: str, tokens: int, **changes: object) -> Record:
    row = {
        "kind": kind, "system": kind, "tokens_read": tokens, "k": 5, "documents": 5.0,
        "questions_per_s": {"median": 1.0 if kind == "text" else 2.0}, "decoder": "qwen",
        "compress_s": None if kind == "text" else {"median": 0.2}, "full_text": kind == "text",
    }  # fmt: skip
    return {**row, **changes}


def test_full_text_of_as_many_documents_before_the_same_decoder_is_the_baseline() -> None:
    lingua = cost("text", 300, full_text=False, compress_s={"median": 0.1})
    others = [cost("text", 900, decoder="phi"), cost("text", 500, k=2)]
    told = with_pay_off([lingua, *others, cost("text", 1000), cost("clara", 100)])
    # 5 documents of 0.2 s each, against half a second saved with every question.
    assert (told[4]["prompt_compression"], told[4]["pays_off_after"]) == (10, pytest.approx(2))
    assert told[0]["prompt_compression"] == pytest.approx(1000 / 300)
    assert told[1]["prompt_compression"] == 1


def test_nothing_is_told_where_no_such_baseline_was_measured() -> None:
    told = with_pay_off([cost("text", 900, decoder="phi"), cost("clara", 100)])
    assert (told[1]["prompt_compression"], told[1]["pays_off_after"]) == (None, None)


def test_a_cost_knows_its_decoder_and_whether_words_were_dropped(
    shared: Path, tmp_path: Path
) -> None:
    workspace = tiny_workspace(tmp_path, shared, questions=2)
    base = workspace.models / "base"
    config = tiny_config(workspace).model_dump()
    config["evaluation"] |= {"systems": ["stage1", f"text:{base}", f"lingua:x/y+text:{base}"]}
    settings = PipelineConfig.model_validate(config)
    jobs = plan_jobs(
        tmp_path, list_entrants(settings, workspace), load_benchmarks(settings, workspace)
    )
    jobs = [job for job in jobs if (job.benchmark.name, job.setting) == ("world", "oracle")]
    found = []
    for job in jobs:
        write_json(cost_path(tmp_path, job), {"key": "k"})
        found.append(read_cost(tmp_path, job) or {})
    by_kind = {job.system: row for job, row in zip(jobs, found, strict=True)}
    assert [row["full_text"] for row in by_kind.values()].count(True) == 1
    assert by_kind["text_base"]["full_text"]
    assert len({row["decoder"] for row in found}) == 1
