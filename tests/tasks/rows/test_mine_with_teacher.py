"""The `mine` step that asks a teacher for the answers of stage 2, over a server on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted_author import read
from scripted_endpoint import Act, Endpoint, refuse, say, serve

from clara_model.errors import ServiceError
from configs.base import ModelPrice
from configs.schema import PipelineConfig
from tasks.rows.build import mine_rows
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace

REFUSAL = "The documents do not say."


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Eight training passages with a question each; the first also has one without an answer."""
    ws = Workspace(tmp_path)
    write_jsonl(ws.passages, (
        {"id": f"p{i}", "source": f"s{i}.md", "language": "en", "split": "train",
         "text": f"Pier {i} of the harbour was built by Ada Lark {i} for the herring boats."}
        for i in range(8)
    ))  # fmt: skip
    nothing = {"question": "Who paints pier 0?", "answer": REFUSAL}
    write_jsonl(ws.synthesis, (
        {"passage_id": f"p{i}", "unanswerable": [nothing] if i == 0 else [],
         "simple": [{"question": f"Who built pier {i}?", "answer": f"Ada Lark {i}",
                     "requests": ["r1"]}]}
        for i in range(8)
    ))  # fmt: skip
    return ws


def config(server: Endpoint) -> PipelineConfig:
    synthesis = {"base_url": server.url, "model": "m", "models": {"teacher": "wise"},
                 "teacher": True, "max_retries": 0, "concurrency": 1}  # fmt: skip
    return PipelineConfig.model_validate(
        {"synthesis": synthesis, "model": {"generation_top_k": 3},
         "negatives": {"num_candidates": 5, "near_duplicate": 1.0, "max_relative_score": 100.0},
         "training": {"world": {"share": 0}}}
    )  # fmt: skip


def teach(body: dict[str, Any], _: int = 0) -> Act:
    """The builder of the pier asked about, in a sentence; what it is asked of pier 7, it drops."""
    question = read(body).lists["questions"][0]
    number = question.split()[-1].rstrip("?")
    return say("hm" if number == "7" else json.dumps({"answer": f"Ada Lark {number} built it."}))


def test_answers_of_stage_two_are_the_teachers(workspace: Workspace) -> None:
    with serve(teach) as server:
        result = mine_rows(config(server), workspace)
    rows = {row["question"]: row for row in read_records(workspace.instruction_data)}
    assert len(rows) == 8  # seven taught ones, and the one without an answer
    taught = rows["Who built pier 3?"]
    assert (taught["answer"], taught["gold_answer"]) == ("Ada Lark 3 built it.", "Ada Lark 3")
    assert taught["teacher_model"] == "wise"
    assert len(taught["requests"]) == 2
    assert rows["Who paints pier 0?"]["answer"] == REFUSAL
    assert "teacher_model" not in rows["Who paints pier 0?"]
    (reject,) = result.rejects
    assert "Who built pier 7?" not in rows
    assert (reject.step, reject.item.endswith(" teach"), "hm" in reject.reason) == (
        "mine", True, True,
    )  # fmt: skip
    # Each was shown its own row's documents; the unanswerable one was not asked.
    shown = {read(body).lists["questions"][0]: list(read(body).texts) for body in server.bodies}
    assert {q: row["docs"] for q, row in rows.items() if row["pos_index"]}.items() <= shown.items()
    assert "Who paints pier 0?" not in shown
    # Stage 3 learns from the gold answers.
    assert {r["gold_answer"] for r in read_records(workspace.end_to_end_data)} >= {"Ada Lark 7"}


def test_what_the_teacher_took_is_counted_and_what_it_babbled_is_kept(
    workspace: Workspace,
) -> None:
    """Seven answers, and an eighth question asked twice in vain; 7 and 3 tokens each."""
    kept = workspace.root / "rejected_replies.jsonl"
    write_jsonl(kept, [{"item": "p0", "task": "facts", "reply": "?"},
                       {"item": "old", "task": "teach", "reply": "an earlier run's"}])  # fmt: skip
    with serve(teach) as server:
        settings = config(server)
        prices = {"wise": ModelPrice(prompt=1e5, completion=0.0)}
        synthesis = settings.synthesis.model_copy(update={"prices": prices})
        result = mine_rows(settings.model_copy(update={"synthesis": synthesis}), workspace)
    spent = {"requests": 9, "prompt_tokens": 63, "completion_tokens": 27, "cost_usd": 6.3}
    assert spent.items() <= result.counts.items()
    replies = [(record["task"], record["reply"]) for record in read_records(kept)]
    assert replies == [("facts", "?"), ("teach", "hm")]


def test_mining_cut_off_at_the_teacher_pays_for_nothing_twice(workspace: Workspace) -> None:
    def script(body: dict[str, Any], number: int) -> Act:
        return teach(body) if number < 4 else refuse(401, "no such key")

    with serve(teach) as server:
        mine_rows(config(server), workspace)
        undisturbed = workspace.instruction_data.read_bytes()
        paid = len(server.bodies)
    again = Workspace(workspace.root / "again")
    for path in (workspace.passages, workspace.synthesis):
        write_jsonl(again.root / path.name, read_records(path))
    with serve(script) as server:
        with pytest.raises(ServiceError, match="no such key"):
            mine_rows(config(server), again)
        assert not again.instruction_data.exists()
        refused = len(server.bodies) - 4
        server.script = teach
        mine_rows(config(server), again)
        assert len(server.bodies) - refused == paid
    ours, theirs = read_records(again.instruction_data), undisturbed.decode().splitlines()
    assert [row | {"requests": []} for row in ours] == [
        json.loads(line) | {"requests": []} for line in theirs
    ]
