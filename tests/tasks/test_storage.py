from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.storage import (
    Journal,
    Reject,
    atomic_open,
    hash_json,
    read_records,
    replace_rejects,
    write_jsonl,
)


def test_a_failed_write_leaves_the_former_file_and_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("before")

    def write_half() -> None:
        with atomic_open(path) as stream:
            stream.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@given(st.lists(st.dictionaries(st.text(min_size=1), st.text() | st.integers())))
def test_rows_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert write_jsonl(path, rows) == len(rows)
    assert read_records(path) == rows


@given(st.text(alphabet=string.printable))
def test_hash_of_json_ignores_the_order_of_keys(value: str) -> None:
    assert hash_json({"a": value, "b": 1}) == hash_json({"b": 1, "a": value})


def test_journal_continues_after_a_line_torn_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, "f1") as journal:
        journal.add("a", {"n": 1})
        journal.add("b", {"n": 2})
    torn = path.read_text().rstrip("\n")[:-5]
    path.write_text(torn)
    with Journal(path, "f1") as journal:
        assert journal.records == {"a": {"n": 1}}
        journal.add("b", {"n": 2})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("key") for line in lines] == [None, "a", "b"]


def test_journal_of_other_settings_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, "f1") as journal:
        journal.add("a", {})
    with Journal(path, "f2") as journal:
        assert "a" not in journal


def test_rejects_of_a_step_replace_its_former_ones_only(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    replace_rejects(path, "extract", [Reject("extract", "a.pdf", "encrypted")])
    replace_rejects(path, "caption", [Reject("caption", "b.png", "broken")])
    replace_rejects(path, "extract", [Reject("extract", "c.pdf", "empty")])
    assert [(r["step"], r["item"]) for r in read_records(path)] == [
        ("caption", "b.png"),
        ("extract", "c.pdf"),
    ]


# Word processors and web pages leave these in texts; Python takes them for the end of a line.
@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85"])
def test_signs_that_look_like_line_ends_tear_no_line(tmp_path: Path, sign: str) -> None:
    journal_path, rejects = tmp_path / "journal.jsonl", tmp_path / "rejected.jsonl"
    with Journal(journal_path, "f1") as journal:
        journal.add("a", {"content": f"one{sign}two"})
        journal.add("b", {})
    with Journal(journal_path, "f1") as journal:
        assert journal.records == {"a": {"content": f"one{sign}two"}, "b": {}}
    replace_rejects(rejects, "synthesize", [Reject("synthesize", "p", f"one{sign}two")])
    replace_rejects(rejects, "mine", [])
    assert [r["reason"] for r in read_records(rejects)] == [f"one{sign}two"]
