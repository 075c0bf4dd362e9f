"""Files that are kept on the way may be damaged: what they held is had again, and it is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from clara_model.errors import DataError
from clara_model.rows import read_jsonl
from tasks.leases import FolderLeases, hold_lease, read_leases
from tasks.llm.cache import Reply, ReplyCache
from tasks.manifests import hash_path
from tasks.negatives.embeddings import EmbeddingCache
from tasks.storage import Journal, Reject, hash_file, read_records, replace_rejects, write_jsonl
from tasks.tracking.spool import SpoolFile, read_from
from tasks.workspace import Workspace


@pytest.mark.parametrize("content", ["{", "[]", '{"%s": "x"}', '{"%s": [1]}'], ids=str)
def test_remembered_hashes_that_are_damaged_are_had_again(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path)
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    remembered = workspace.manifests / ".hashes.json"
    remembered.parent.mkdir()
    remembered.write_text(content.replace("%s", str(path)))
    assert hash_path(path, workspace) == hash_file(path)
    assert json.loads(remembered.read_text())[str(path)][2] == hash_file(path)


def test_a_journal_is_read_up_to_its_damage(tmp_path: Path) -> None:
    path = tmp_path / "step.jsonl"
    with Journal(path, "same") as journal:
        for key in "abcd":
            journal.add(key, {"of": key})
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], '{"key": "b"}\n', lines[3], "7\n", lines[4]]))
    with Journal(path, "same") as journal:
        assert sorted(journal.records) == ["a", "c"]


def test_rejects_of_other_steps_survive_a_damaged_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rejected.jsonl"
    write_jsonl(path, [{"step": "extract", "item": "a.pdf", "reason": "empty"}])
    with path.open("ab") as stream:
        stream.write(b"\xff\x00 garbage\n")
    replace_rejects(path, "mine", [Reject("mine", "q1", "two answers")])
    assert [record["item"] for record in read_records(path)] == ["a.pdf", "q1"]
    assert "1 damaged lines are left out" in caplog.text


def test_a_reply_whose_text_has_changed_on_disk_is_not_used(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path)
    cache.write("ab12", Reply("The bridge has 19 arches.", 7, 3), model="m", purpose="test")
    path = cache.path("ab12")
    path.write_text(path.read_text().replace("19", "18"))
    assert cache.read("ab12") is None
    assert cache.damaged == 1


def test_a_reply_that_was_kept_without_a_digest_is_used(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path)
    cache.write("ab12", Reply("yes", 7, 3), model="m", purpose="test")
    path = cache.path("ab12")
    entry = json.loads(path.read_text())
    del entry["digest"]
    path.write_text(json.dumps(entry))
    reply = cache.read("ab12")
    assert reply is not None
    assert reply.text == "yes"


def test_embeddings_whose_description_is_damaged_are_asked_for_again(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).add(["a", "b"], np.eye(2, 4, dtype=np.float32))
    (tmp_path / "meta.json").write_text("{")
    cache = EmbeddingCache(tmp_path)
    assert "a" not in cache
    cache.add(["b"], np.eye(1, 4, dtype=np.float32))
    assert EmbeddingCache(tmp_path).vectors_of(["b"]).rows(0, 1).tolist() == [[1, 0, 0, 0]]


def test_a_row_that_is_not_text_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "1"}\n{"a": "\xff"}\n')
    with pytest.raises(DataError, match=r"rows.jsonl:2: not JSON \(not UTF-8\); mend the line"):
        list(read_jsonl(path))


def test_garbage_in_a_lease_is_nobodys_and_expires(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes(b"\xff\x00 garbage")
    assert read_leases(FolderLeases(tmp_path), ["mine"]) == {}
    with hold_lease("mine", FolderLeases(tmp_path), expires_s=0.5) as hold:
        assert hold.waited


def test_a_spool_line_torn_by_a_full_disk_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SpoolFile(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda handle, data, real=os.write: real(handle, data[:5]))
        with pytest.raises(OSError, match="No space left"):
            file.append({"n": 1})
    file.append({"n": 2})
    file.close()
    assert [record for _, record in read_from(file.path, 0)] == [{"n": 2}]
