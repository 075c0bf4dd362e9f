"""Steps of several workers on one remote workspace, and what a cut leaves."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model.errors import ClaraError, DataError, ServiceError
from tasks.leases import hold_lease
from tasks.manifests import Step, hash_path, is_current, run_step
from tasks.storage import StepResult, read_records
from tasks.travel.mirror import fetch_paths, open_mirror, open_workspace
from tasks.travel.remote import Remote, RemoteLeases
from tasks.turn import take_turn
from tasks.workspace import Workspace

MakeWorker = Callable[..., "object"]


class Cut(BaseException):
    """The process ends here, without cleaning anything up."""


def cut_after(number: int, method: Callable) -> Callable:
    """Let some calls through, then end."""
    calls = iter(range(number))

    def call(*args: object) -> object:
        if next(calls, None) is None:
            raise Cut
        return method(*args)

    return call


def files(remote: Remote) -> set[str]:
    return set(remote.list_files(""))


def test_another_worker_finds_the_step_done_and_fetches_what_its_own_step_reads(
    make_worker: MakeWorker, remote: Remote
) -> None:
    one, two, three = make_worker("one"), make_worker("two"), make_worker("three")
    assert one.do("passages") == "done"
    assert files(remote) == {"passages.jsonl", "manifests/passages.json"}
    assert two.do("passages") == "up to date"
    assert not two.workspace.passages.exists()  # nothing here needs it
    assert two.do("index") == "done"
    assert two.workspace.passages.read_text() == "text\n"
    assert three.do("index") == "up to date"
    assert not three.workspace.memory.exists()
    rejects = read_records(three.workspace.rejected)
    assert {(r["step"], r["reason"]) for r in rejects} == {
        ("passages", "not text"), ("index", "not text"),
    }  # fmt: skip
    assert "logs/index/metrics.jsonl" in files(remote)


def test_hashes_of_files_that_are_only_there_are_those_of_the_files(
    make_worker: MakeWorker,
) -> None:
    one, two = make_worker("one"), make_worker("two")
    one.do("passages")
    one.do("index")
    open_workspace(two.config)
    plain = Workspace(one.workspace.root.parent / "copy")
    one.workspace.root.rename(plain.root)
    (plain.root / ".travel" / "state.json").unlink()
    for name in ("passages.jsonl", "memory/index"):
        assert hash_path(two.workspace.root / name, two.workspace) == hash_path(
            plain.root / name, plain
        )


def test_a_step_done_anew_replaces_the_files_of_the_former_one(
    make_worker: MakeWorker, remote: Remote
) -> None:
    one, two = make_worker("one"), make_worker("two")
    for worker in (one, two):
        worker.do("passages")
        worker.do("index")
    open_workspace(two.config, ["memory"])
    extra = one.workspace.memory / "index" / "extra.txt"
    extra.write_text("more")
    one.do("index", force=True)
    assert "memory/index/extra.txt" in files(remote)
    extra.unlink()
    one.do("index", "other")
    assert "memory/index/extra.txt" not in files(remote)
    open_workspace(two.config, ["memory"])
    folder = two.workspace.memory / "index"
    assert (folder / "names.txt").read_text() == "other names"
    assert sorted(p.name for p in folder.iterdir()) == ["names.txt", "parts"]
    assert is_current(two.step("index", "other"), two.workspace)


def test_an_upload_cut_midway_leaves_the_old_version_whole(
    make_worker: MakeWorker, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = make_worker("one"), make_worker("two"), make_worker("three")
    one.do("passages")
    one.do("index", "old")
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "upload", cut_after(1, Remote.upload))
        with pytest.raises(Cut):
            one.do("index", "new")
    assert two.do("index", "old") == "up to date"
    open_workspace(two.config, ["memory"])
    assert (two.workspace.memory / "index" / "names.txt").read_text() == "old names"
    # Who made it sends it once more, and does not make it once more.
    assert one.do("index", "new") == "up to date"
    assert three.do("index", "new") == "up to date"
    assert not any(name.startswith(".uploading") for name in files(remote))


@pytest.mark.parametrize("moves", [0, 1])
def test_an_upload_cut_among_its_renames_is_finished_by_whoever_comes_next(
    make_worker: MakeWorker, remote: Remote, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    one, two = make_worker("one"), make_worker("two")
    one.do("passages")
    one.do("index", "old")
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "move", cut_after(moves, Remote.move))
        with pytest.raises(Cut):
            one.do("index", "new")
    assert two.do("index", "new") == "up to date"
    open_workspace(two.config, ["memory"])
    folder = two.workspace.memory / "index"
    assert (folder / "names.txt").read_text() == "new names"
    assert not any(name.startswith(".uploading") for name in files(remote))


def test_what_arrives_changed_is_refused_and_the_old_version_stays(
    make_worker: MakeWorker, remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = make_worker("one"), make_worker("two")
    one.do("passages", "old")
    fs = open_mirror(one.config, one.workspace).remote._fs
    put = fs.put_file

    def spoil(source: str, target: str) -> None:
        other = tmp_path / "spoilt"
        other.write_text(Path(source).read_text().swapcase())  # of the same size
        put(str(other), target)

    with monkeypatch.context() as patch:
        patch.setattr(fs, "put_file", spoil)
        with pytest.raises(ServiceError, match=r"passages\.jsonl: what arrived is not what was"):
            one.do("passages", "new")
    assert two.do("passages", "old") == "up to date"
    open_workspace(two.config, ["passages.jsonl"])
    assert two.workspace.passages.read_text() == "old\n"


def test_a_file_altered_on_the_store_is_not_taken(make_worker: MakeWorker, remote: Remote) -> None:
    one, two = make_worker("one"), make_worker("two")
    one.do("passages")
    remote.write("passages.jsonl", b"evil\n")
    with pytest.raises(DataError, match=r"passages\.jsonl is not the file that its manifest names"):
        two.do("index")
    assert not two.workspace.passages.exists()


def test_a_damaged_remote_manifest_is_sent_again(make_worker: MakeWorker, remote: Remote) -> None:
    one = make_worker("one")
    one.do("passages")
    remote.write("manifests/passages.json", b'{"half')
    assert one.do("passages") == "up to date"
    assert json.loads(remote.read("manifests/passages.json") or b"")["step"] == "passages"


def test_two_workers_do_a_step_once(
    make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    workers = [make_worker("one"), make_worker("two")]
    start, outcomes = threading.Barrier(2), []

    def do(worker: object) -> None:
        start.wait()
        outcomes.append(worker.do("passages"))  # type: ignore[attr-defined]

    threads = [threading.Thread(target=do, args=(w,)) for w in workers]
    with caplog.at_level(logging.INFO):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(outcomes) == ["done", "up to date"]


def test_a_forced_step_that_another_worker_is_just_doing_is_not_doubled(
    make_worker: MakeWorker, remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = make_worker("one"), make_worker("two")
    outcomes = []
    forced = threading.Thread(target=lambda: outcomes.append(two.do("passages", force=True)))
    step = one.step("passages")
    with caplog.at_level(logging.INFO), take_turn(step, one.workspace, one.config) as is_due:
        assert is_due
        forced.start()
        while "waiting for" not in caplog.text:
            assert forced.is_alive()
            forced.join(0.05)
        from tasks.manifests import run_step

        run_step(step, one.workspace, lambda: one.make("passages", "text"))
    forced.join(60)
    assert outcomes == ["up to date"]


def test_a_lease_on_the_store_stays_with_one_and_expires(remote: Remote) -> None:
    leases = RemoteLeases(remote)
    assert leases.is_atomic
    leases.write("stage1", '{"half": ')
    with hold_lease("stage1", leases, expires_s=1.0) as hold:
        assert hold.waited
        assert not leases.create("stage1", "another")
    assert leases.read("stage1") is None


def test_a_lack_of_room_is_told_before_anything_is_fetched(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make_worker("one"), make_worker("two")
    one.do("passages")
    mirror = open_mirror(two.config, two.workspace)
    open_workspace(two.config)
    monkeypatch.setattr("tasks.travel.mirror.free_bytes", lambda folder: 2)
    with pytest.raises(ClaraError, match=r"are needed here, and .* are free; make room"):
        fetch_paths(mirror, [two.workspace.passages])
    assert not two.workspace.passages.exists()


def test_a_folder_is_worked_in_as_ever(make_worker: MakeWorker) -> None:
    worker = make_worker("plain")
    worker.config = worker.config.model_copy(update={"remote": None})
    assert [worker.do("passages"), worker.do("passages")] == ["done", "up to date"]
    found = {p.name for p in worker.workspace.root.iterdir()}
    assert found == {"passages.jsonl", "manifests", "rejected.jsonl", "leases"}


def test_a_named_evaluation_travels_beside_the_own_one(make_worker: MakeWorker) -> None:
    def step(workspace: Workspace, variant: str) -> Step:
        folder = workspace.root / "evaluations" / variant if variant else workspace.evaluation
        return Step("evaluate", "", 1, variant, (), (folder / "summary.json",), variant)

    one, two = make_worker("one"), make_worker("two")
    candidates = "evaluation/candidates/nq.normal.jsonl"
    for variant in ("", "samples"):
        made = step(one.workspace, variant)

        def work(made: Step = made) -> StepResult:
            for path in (made.outputs[0], one.workspace.root / candidates):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(made.record)
            return StepResult({})

        with take_turn(made, one.workspace, one.config):
            run_step(made, one.workspace, work)
    open_workspace(two.config, ["evaluation", "evaluations"])
    for variant in ("", "samples"):
        theirs = step(two.workspace, variant)
        assert is_current(theirs, two.workspace)
        assert theirs.outputs[0].read_text() == theirs.record
    assert (two.workspace.root / candidates).is_file()
