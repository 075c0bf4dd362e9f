from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from small_rows import FERRY, TEA, TOWER, write_rows, write_workspace

from clara_model.errors import DataError
from tasks.passages.alike import group_alike
from tasks.rows.audit import audit_split, find_violations
from tasks.rows.leaks import BenchmarkKeys, find_leaks
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace


def asked(**fields: Any) -> dict[str, Any]:
    row = {"question": "Who built it?", "gold_answer": "Mara Venn", "pos_index": [1]}
    return row | {"docs": [FERRY, f"{TOWER} It stands."]} | fields


def leaks(row: dict[str, Any], *train: dict[str, Any]) -> list[tuple[int, int, str]]:
    keys = BenchmarkKeys()
    keys.add(5, row, "stage3")
    found = find_leaks(keys, enumerate(train, start=1))
    return [(leak.line, leak.train_line, leak.by) for leak in found]


def trained(**fields: Any) -> dict[str, Any]:
    return {"question": "Else?", "docs": ["Other text."], "gold_answer": "x y"} | fields


@pytest.mark.parametrize(
    ("row", "train", "expected"),
    [
        (asked(), trained(docs=["Nothing.", f"Long ago: no. {TOWER} More."]), "answer sentence"),
        (asked(), trained(answer=TOWER.upper()), "answer sentence"),
        (asked(), trained(docs=[f"{TOWER} it stands"]), "passage"),
        (asked(), trained(question="who BUILT it"), "question"),
        (asked(passage_ids=["p1", "p2"]), trained(passage_id="p2"), "passage"),
        (asked(), trained(docs=[FERRY]), None),
        (asked(), trained(docs=["It stands."]), None),
        (asked(gold_answer="yes"), trained(docs=[f"{TOWER} More."]), None),
        (asked(docs=[FERRY, "Mara Venn did."]), trained(docs=["Mara Venn did. More."]), None),
        (asked(docs=[TEA, FERRY], pos_index=[0], gold_answer="清代"), trained(docs=[f"茶。{TEA}"]),
         "answer sentence"),
    ],
    ids=["sentence", "taught answer", "passage", "question", "passage id", "candidate",
         "other sentence", "closed", "short sentence", "Chinese"],
)  # fmt: skip
def test_what_gives_a_benchmark_row_away(
    row: dict[str, Any], train: dict[str, Any], expected: str | None
) -> None:
    assert leaks(row, trained(), train) == ([(5, 2, expected)] if expected else [])


def test_a_whole_passage_is_told_before_a_sentence_of_it() -> None:
    sentence, passage = trained(docs=[f"{TOWER} More."]), trained(docs=[f"{TOWER} It stands."])
    assert leaks(asked(), sentence, passage) == [(5, 2, "passage")]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_workspace(tmp_path)


def audit_of(workspace: Workspace) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(workspace.audit.read_text())
    return value


def test_the_audit_of_a_sound_split_is_written_down(workspace: Workspace) -> None:
    audit_split(workspace)
    audit = audit_of(workspace)
    assert audit["apart"] is True
    assert audit["sides"]["train"] == {"sources": 2, "passages": 3, "rows": 4}
    assert audit["sides"]["benchmark"] == {"sources": 1, "passages": 1, "rows": 1}


def change(path: Path, number: int, **fields: Any) -> None:
    rows = read_records(path)
    rows[number] |= fields
    write_jsonl(path, rows)


@pytest.mark.parametrize(
    ("name", "number", "fields", "words"),
    [
        ("clara_training_data.jsonl", 3, {"docs": [FERRY, TEA]}, "shows a benchmark passage"),
        ("clara_training_data.jsonl", 3, {"passage_ids": ["p-tower", "p-tea"]}, "is about"),
        ("clara_training_data.jsonl", 2, {"source": "tea.md"}, "is about"),
        ("clara_training_data.jsonl", 0, {"question": ["茶树种于何时"]}, "asks a benchmark"),
        ("benchmark/oracle.jsonl", 0, {"passage_id": "p-ferry"}, "about training passage p-ferry"),
        ("passages.jsonl", 1, {"split": "benchmark"}, "source tower.pdf is on both sides"),
        ("raw_knowledge.jsonl", 1, {"content": TEA}, "ferry.md, tea.md are versions"),
    ],
    ids=["text", "second passage", "source", "question", "wrong side", "divided", "versions"],
)
def test_every_breach_is_named_and_ends_the_step(
    workspace: Workspace, name: str, number: int, fields: dict[str, Any], words: str
) -> None:
    change(workspace.root / name, number, **fields)
    assert any(words in violation for violation in find_violations(workspace))
    with pytest.raises(DataError, match="not apart"):
        audit_split(workspace)
    assert audit_of(workspace)["apart"] is False
    assert any(words in violation for violation in audit_of(workspace)["violations"])


def test_shared_answer_sentences_are_told_but_are_no_breach(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    change(workspace.all_training_data, 3, docs=[FERRY, f"Old. {TEA}"])
    with caplog.at_level(logging.WARNING):
        audit_split(workspace)
    assert "oracle.jsonl:1" in caplog.text
    assert audit_of(workspace)["shared_answer_sentences_counted"] == 2  # oracle and normal
    write_rows(workspace)


def test_versions_of_a_document_are_found_among_others() -> None:
    bells = " ".join(f"Bell {n} of the tower rings at {n} o'clock each day." for n in range(12))
    boats = " ".join(f"Boat {n} sails from quay {n} towards the isles." for n in range(12))
    changed = bells.replace("Bell 3 of", "The third bell in")
    texts = {"a": bells, "b": boats, "c": changed + " " + boats[:40], "d": TEA, "e": TEA, "f": ""}
    assert group_alike(texts) == [["a", "c"], ["b"], ["d", "e"], ["f"]]


def test_a_shared_letterhead_makes_no_versions() -> None:
    head = "Harbour Board of Osterly, 4 Quay Street, Osterly, founded 1820."
    own = [" ".join(f"{word}{n}" for n in range(40)) for word in ("rope", "sail", "mast")]
    texts = {str(n): f"{head} {text}" for n, text in enumerate(own)}
    assert group_alike(texts) == [["0"], ["1"], ["2"]]
