"""Rows of several positives, of none, of other languages; and mining that is cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model.rows import read_rows
from configs.schema import PipelineConfig
from tasks.negatives import blocks
from tasks.negatives.mine import Picked
from tasks.negatives.pool import PassagePool
from tasks.rows import build
from tasks.rows.build import mine_rows
from tasks.rows.inputs import Passage, Question
from tasks.rows.records import question_row
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace

TOWNS = ["Osterly", "Norrin", "Pellane", "Ravel", "Merrow", "Auk", "Quill", "Tide"]
REFUSAL = "The documents do not say."


def passage(number: int) -> dict[str, Any]:
    town = TOWNS[number % len(TOWNS)]
    return {
        "id": f"p{number}", "source": f"s{number // 4}.md", "page": number, "language": "en",
        "text": f"The harbour of {town} has pier {number}, {300 + number} metres long.",
        "split": "benchmark" if number >= 16 else "train",
    }  # fmt: skip


def pair(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "language": "en", "requests": ["r1"], **more}


def synthesis(number: int) -> dict[str, Any]:
    other = number ^ 1
    return {
        "passage_id": f"p{number}", "language": "en", "provider": "embedded", "model": "rules",
        "verification_model": "rules", "prompt_version": "9",
        "simple": [pair(f"How long is pier {number}?", f"{300 + number} metres")],
        "complex": [],
        "cross_lingual": [pair(f"{number}号码头有多长？", f"{300 + number}米", language="zh")],
        "joint": [pair(f"Which pier is longer, {number} or {other}?", f"pier {number + 1}",
                       passage_ids=[f"p{number}", f"p{other}"], requests=["r2", "r3"])]
        if number % 2 == 0 else [],
        "unanswerable": [pair(f"Who owns pier {number}?", REFUSAL)] if number % 4 == 0 else [],
        "paraphrase": f"Pier {number} measures {300 + number} metres.",
        "paraphrase_requests": ["r4"],
    }  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Sixteen training and four benchmark passages."""
    ws = Workspace(tmp_path)
    write_jsonl(ws.passages, map(passage, range(20)))
    write_jsonl(ws.synthesis, map(synthesis, range(20)))
    return ws


def config(**negatives: Any) -> PipelineConfig:
    values = {"num_candidates": 6, **negatives}
    return PipelineConfig.model_validate(
        {"negatives": values, "model": {"generation_top_k": 3}, "training": {"world": {"share": 0}}}
    )


def of_kind(path: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_records(path) if row["kind"] == kind]


def test_a_joint_question_has_both_its_passages_among_the_golds(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    texts = {p["id"]: p["text"] for p in read_records(workspace.passages)}
    files = {"instruction_data.jsonl": (8, 3), "end_to_end_data.jsonl": (8, 6)}
    for name, (number, size) in files.items():
        rows = of_kind(workspace.root / name, "joint_qa")
        assert len(rows) == number
        for row in rows:
            assert len(row["docs"]) == size
            golds = {row["docs"][i] for i in row["pos_index"]}
            assert golds == {texts[p] for p in row["passage_ids"]}
            assert len(row["pos_index"]) == 2
            assert row["requests"] == ["r2", "r3"]
    for name in ("oracle", "normal"):
        rows = of_kind(workspace.benchmark / f"{name}.jsonl", "joint_qa")
        assert [len(row["passage_ids"]) for row in rows] == [2, 2]


def test_an_unanswerable_question_has_no_gold_and_a_refusal(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    for name, stage in (("instruction_data.jsonl", "stage2"), ("end_to_end_data.jsonl", "stage3")):
        rows = of_kind(workspace.root / name, "unanswerable")
        assert len(rows) == 4
        for row in rows:
            assert row["pos_index"] == []
            assert row["gold_answer"] == REFUSAL
            assert row["found_by"].count("asked about") == 1
            assert row["passage_id"] in row["doc_ids"]
        assert len(list(read_rows(workspace.root / name, stage))) == 16 * 2 + 8 + 4
    # The benchmark's are apart: its two files are about golds.
    assert of_kind(workspace.benchmark / "oracle.jsonl", "unanswerable") == []
    assert len(read_records(workspace.benchmark / "unanswerable.jsonl")) == 1


def test_stage_one_keeps_to_the_kinds_of_the_paper(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    rows = read_records(workspace.pretrain_data)
    assert {row["kind"] for row in rows} == {"simple_qa", "paraphrase"}
    assert {tuple(row["requests"]) for row in rows} == {("r1",), ("r4",)}


def test_rows_tell_language_page_models_and_prompt(workspace: Workspace) -> None:
    mine_rows(config(), workspace)
    (row, *_) = of_kind(workspace.end_to_end_data, "cross_lingual_qa")
    assert (row["language"], row["passage_language"], row["page"]) == ("zh", "en", 0)
    assert (row["model"], row["verification_model"]) == ("rules", "rules")
    assert (row["prompt_version"], row["source"]) == ("9", "s0.md")


@pytest.mark.parametrize(
    ("passages", "reason"),
    [(["p0", "p17"], "other side of the split"), (["p0", "p99"], "set aside"),
     (["p0"], "a joint question needs its own and another")],
    ids=["other side", "not there", "one"],
)  # fmt: skip
def test_a_joint_question_without_its_passages_is_set_aside(
    workspace: Workspace, passages: list[str], reason: str
) -> None:
    rows = read_records(workspace.synthesis)
    rows[0]["joint"][0]["passage_ids"] = passages
    write_jsonl(workspace.synthesis, rows)
    (reject,) = mine_rows(config(), workspace).rejects
    assert reason in reject.reason


def test_more_golds_than_the_generator_reads_are_set_aside(workspace: Workspace) -> None:
    narrow = config().model_dump() | {"model": {"generation_top_k": 1}}
    result = mine_rows(PipelineConfig.model_validate(narrow), workspace)
    assert len(result.rejects) == 10
    assert "2 passages answer it together" in result.rejects[0].reason


def test_strategies_are_counted_and_named_in_the_rows(workspace: Workspace) -> None:
    shares = {"bm25": 0.6, "random": 0.2, "same_document": 0.2}
    counts = mine_rows(config(strategies=shares), workspace).counts
    rows = read_records(workspace.end_to_end_data)
    assert {len(row["found_by"]) for row in rows} == {6}
    assert counts["negatives_random"] > 0
    neighbours = [
        (row["source"], doc)
        for row in rows
        for doc, by in zip(row["doc_ids"], row["found_by"], strict=True)
        if by == "same_document"
    ]
    assert neighbours
    assert all(f"s{int(doc[1:]) // 4}.md" == source for source, doc in neighbours
               if "joint" not in source)  # fmt: skip


def test_a_memory_share_waits_for_stage_two(workspace: Workspace) -> None:
    shares = {"bm25": 0.5, "memory": 0.5}
    counts = mine_rows(config(strategies=shares), workspace).counts
    assert "negatives_memory" not in counts
    assert counts["negatives_bm25"] > 0


@pytest.mark.parametrize("survived", [0, 1, 4])
def test_mining_that_was_cut_off_ends_with_the_same_rows(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    shares = {"bm25": 0.6, "random": 0.4}
    monkeypatch.setattr(blocks, "BLOCK", 7)
    mine_rows(config(strategies=shares), workspace)
    files = [p for p in workspace.root.rglob("*.jsonl")]
    undisturbed = {p: p.read_bytes() for p in files}
    for path in files:
        if path not in (workspace.passages, workspace.synthesis):
            path.unlink()
    mined: list[int] = []
    original = build.block_miner if hasattr(build, "block_miner") else None
    assert original is not None
    from tasks.rows import questions

    def cut_off(*args: Any, **kwargs: Any) -> Any:
        mine_block = original(*args, **kwargs)

        def mine(block: Any) -> Any:
            if len(mined) == survived:
                raise KeyboardInterrupt
            mined.append(len(block))
            return mine_block(block)

        return mine

    with monkeypatch.context() as patch:
        patch.setattr(questions, "block_miner", cut_off)
        with pytest.raises(KeyboardInterrupt):
            mine_rows(config(strategies=shares), workspace)
    folder = next((workspace.progress / "mine").iterdir(), None)
    kept = sorted(folder.rglob("block-*")) if folder else []
    assert len(kept) == survived
    before = [p.stat().st_mtime_ns for p in kept]
    times: list[list[int]] = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        times.append([p.stat().st_mtime_ns for p in kept])
        return original(*args, **kwargs)

    monkeypatch.setattr(questions, "block_miner", watched)
    mine_rows(config(strategies=shares), workspace)
    assert times == [before]
    assert {p: p.read_bytes() for p in undisturbed} == undisturbed
    assert not list((workspace.progress / "mine").iterdir())


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_pos_index_points_at_the_passages_asked_about(data: st.DataObject) -> None:
    texts = [f"passage number {i}" for i in range(12)]
    pool = PassagePool((f"p{i}", text, "s") for i, text in enumerate(texts))
    order = data.draw(st.permutations(range(12)))
    golds, size = data.draw(st.integers(1, 3)), data.draw(st.integers(3, 12))
    kind = data.draw(st.sampled_from(["simple_qa", "joint_qa", "unanswerable"]))
    passages = tuple(Passage(f"p{i}", "s", texts[i], "en", "train", None) for i in order[:golds])
    question = Question(kind, "Which?", "That one", "en", passages, (), {})
    negatives = tuple(order[golds:size])
    picked = Picked(negatives, ("bm25",) * len(negatives))
    row = question_row(pool, question, picked, "stage3", str(data.draw(st.integers(0, 99))))
    assert sorted(row["docs"]) == sorted(texts[i] for i in order[:size])
    expected = [] if kind == "unanswerable" else sorted(p.text for p in passages)
    assert sorted(row["docs"][i] for i in row["pos_index"]) == expected
    assert [by == "asked about" for by in row["found_by"]] == [
        text in {p.text for p in passages} for text in row["docs"]
    ]
