"""Versions that one worker registers, used on another machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_workspace import tiny_config, tiny_workspace

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks import tracking
from tasks.manifests import Step, run_step
from tasks.storage import StepResult, write_jsonl
from tasks.tracking.promotion import aliased_folders, promote
from tasks.travel.mirror import open_mirror, open_workspace
from tasks.travel.registered import fetch_version, list_version, send_version
from tasks.travel.remote import Remote
from tasks.turn import take_turn
from tasks.workspace import Workspace

QUESTIONS = 40


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


def configure(folder: Path, uri: str, database: Path, **changes: Any) -> PipelineConfig:
    """A machine's configuration; all machines record in one database."""
    return PipelineConfig.model_validate({
        **changes, "workspace": str(folder), "remote": uri,
        "tracking": {"uri": f"sqlite:///{database}", "system_metrics": False,
                     "registered_model": uri.rpartition("/")[2]},
    })  # fmt: skip


def send(config: PipelineConfig, name: str, settings: str, *outputs: Path) -> None:
    """Finish a step whose outputs lie here."""
    workspace = Workspace(config.workspace)
    step = Step(name, "", 1, settings, (), outputs)
    with take_turn(step, workspace, config, force=True):
        run_step(step, workspace, lambda: StepResult({}))


def register(config: PipelineConfig) -> None:
    workspace = open_workspace(config)
    tracker = tracking.open_pipeline_run(config, workspace)
    tracking.register_stages(config, tracker, workspace)
    tracking.finish_pipeline_run(tracker, "FINISHED")
    assert tracker.outbox.drain()


def train(config: PipelineConfig, weights: str, right: int) -> None:
    """Stage 3 and its predictions, of which so many are right."""
    workspace = Workspace(config.workspace)
    for name, text in (("base", "the same"), ("stage3", weights)):
        shutil.rmtree(workspace.models / name, ignore_errors=True)
        (workspace.models / name).mkdir(parents=True)
        (workspace.models / name / "weights").write_text(text)
        send(config, name, text, workspace.models / name)
    rows = [
        {"id": str(n), "question": f"Who is {n}?", "golds": ["Ada"], "positives": [0],
         "answer": "Ada" if n < right else "Bob"}
        for n in range(QUESTIONS)
    ]  # fmt: skip
    predictions = workspace.evaluation / "predictions"
    write_jsonl(predictions / "documents.normal.stage3.jsonl", rows)
    send(config, "evaluate", weights, predictions)


def test_versions_of_two_machines_are_compared_on_a_third(
    uri: str, remote: Remote, database: Path, tmp_path: Path
) -> None:
    for machine, right in (("one", 10), ("two", 30)):
        config = configure(tmp_path / machine, uri, database)
        open_workspace(config)
        train(config, f"weights of {machine}", right)
        register(config)
        shutil.rmtree(tmp_path / machine)  # the machine is gone
    here = configure(tmp_path / "three", uri, database)
    workspace = open_workspace(here)
    assert promote(here, workspace, "1").reason == "there was no champion"
    decision = promote(here, workspace, None)
    assert decision.promoted
    assert decision.comparison is not None
    assert decision.comparison.difference == pytest.approx(20 / 40)
    kept = aliased_folders(here, workspace)
    assert {folder.parent for folder in kept} == {(tmp_path / "three" / "registry").resolve()}
    assert not list((tmp_path / "three").rglob("weights"))  # scores need predictions only
    # The base of both is there once.
    sizes = remote.list_files("registry/files").values()
    assert sorted(sizes).count(len("the same")) == 1


def test_a_version_that_was_sent_is_not_fetched_to_be_registered_again(
    uri: str, database: Path, tmp_path: Path
) -> None:
    config = configure(tmp_path / "one", uri, database)
    open_workspace(config)
    train(config, "weights", 10)
    register(config)
    other = configure(tmp_path / "two", uri, database)
    register(other)
    assert not (tmp_path / "two" / "models").exists()
    mirror = open_mirror(other, Workspace(other.workspace))
    assert mirror is not None
    [name] = [folder.name for folder in (tmp_path / "two" / "registry").iterdir()]
    assert set(list_version(mirror, name)) == {
        "model/weights", "base/weights", "predictions/documents.normal.jsonl", "version.json"
    }  # fmt: skip


def test_a_file_altered_on_the_store_is_not_taken_and_one_altered_here_is_fetched_again(
    uri: str, remote: Remote, database: Path, tmp_path: Path
) -> None:
    config = configure(tmp_path / "one", uri, database)
    mirror = open_mirror(config, Workspace(config.workspace))
    assert mirror is not None
    (tmp_path / "weights").write_text("good")
    address = send_version(mirror, "stage3-abc", {"model/weights": tmp_path / "weights"}, {})
    assert address == f"{uri}/registry/stage3-abc"
    here = configure(tmp_path / "two", uri, database)
    fetched = fetch_version(address, here) / "model" / "weights"
    fetched.write_text("evil, and longer")
    assert (fetch_version(address, here) / "model" / "weights").read_text() == "good"
    [content] = remote.list_files("registry/files")
    remote.write(content, b"evil")
    fetched.unlink()
    with pytest.raises(DataError, match="is not the file"):
        fetch_version(address, here)
    assert not fetched.exists()
    remote.write("registry/stage3-abc/FILES.json", json.dumps({"../../x": {}}).encode())
    with pytest.raises(DataError, match="there is no such version"):
        fetch_version(address, here)


def test_what_the_mirror_holds_is_linked_and_not_fetched(
    uri: str, database: Path, tmp_path: Path
) -> None:
    config = configure(tmp_path / "one", uri, database)
    open_workspace(config)
    train(config, "weights", 10)
    register(config)
    [folder] = (tmp_path / "one" / "registry").iterdir()
    fetched = fetch_version(f"{uri}/registry/{folder.name}", config)
    assert fetched == folder
    assert (folder / "model/weights").samefile(tmp_path / "one" / "models/stage3/weights")


@pytest.mark.parametrize("with_store", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_version_of_a_machine_that_is_gone_answers_with_citations(
    uri: str, remote: Remote, shared: Path, database: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, with_store: bool,
) -> None:  # fmt: skip
    import mlflow

    from tasks.indexing.build import build_index, open_answering

    workspace = tiny_workspace(tmp_path / "one", shared)
    tree = tiny_config(workspace).model_dump()
    config = configure(tmp_path / "one", uri, database, model=tree["model"])
    write_jsonl(workspace.passages, [
        {"id": str(n), "text": f"Lamp {n} is of brass.", "source": f"{n}.md", "page": None}
        for n in range(3)
    ])  # fmt: skip
    build_index(config, workspace)
    if not with_store:  # the index was made by another worker
        shutil.rmtree(workspace.memory / "store")
    for name in ("base", "stage3"):
        send(config, name, "", workspace.models / name)
    send(config, "index", "", workspace.memory / "index")
    register(config)
    shutil.rmtree(tmp_path / "one")
    sent = json.loads(next(
        remote.read(name) or b"" for name in remote.list_files("registry") if "FILES" in name
    ))  # fmt: skip
    assert any(label.startswith("store/") for label in sent) == with_store
    monkeypatch.setenv("CLARA_CACHE", str(tmp_path / "cache"))
    mlflow.set_tracking_uri(config.tracking.uri)
    name = config.tracking.registered_model
    model = mlflow.pyfunc.load_model(f"models:/{name}@candidate")
    [reply] = model.predict({"question": "Which lamp?"})
    assert reply["citations"]
    assert {c["source"] for c in reply["citations"]} <= {f"{n}.md" for n in range(3)}
    # `clara ask` elsewhere: the index has come, and the memories are made.
    here = configure(tmp_path / "two", uri, database, model=tree["model"])
    asked = open_workspace(here, ["models/base", "models/stage3", "memory"])
    _, index = open_answering(asked, here.model, complete=True)
    assert len(index.store) == 3
