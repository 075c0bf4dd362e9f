from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tiny_workspace import tiny_config, tiny_workspace

from clara_model.errors import ConfigError, DataError
from configs.schema import PipelineConfig
from tasks import tracking
from tasks.storage import read_records, write_json, write_jsonl
from tasks.tracking import Tracker
from tasks.tracking.promotion import aliased_folders, promote
from tasks.workspace import Workspace

QUESTIONS = 40


def finish_training(workspace: Workspace, fingerprint: str, right: int) -> None:
    """Manifests, and predictions of which the first `right` are right, as an evaluation leaves."""
    for stage in ("stage1", "stage2", "stage3"):
        shutil.rmtree(workspace.models / stage, ignore_errors=True)  # a new folder, as trained
        (workspace.models / stage).mkdir(parents=True)
        (workspace.models / stage / "weights").write_text(fingerprint)
        manifest = {"fingerprint": f"{stage}-{fingerprint}", "outputs": {}}
        write_json(workspace.manifests / f"{stage}.json", manifest)
        rows = [
            {"id": str(n), "question": f"Who is {n}?", "golds": ["Ada"], "positives": [0],
             "answer": "Ada" if n < right else "Bob"}
            for n in range(QUESTIONS)
        ]  # fmt: skip
        folder = workspace.evaluation / "predictions"
        write_jsonl(folder / f"documents.normal.{stage}.jsonl", rows)
    (workspace.models / "base").mkdir(exist_ok=True)


def register(config: PipelineConfig, workspace: Workspace) -> Tracker:
    tracker = tracking.open_pipeline_run(config, workspace)
    tracking.register_stages(config, tracker, workspace)
    tracking.finish_pipeline_run(tracker, "FINISHED")
    return tracker


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, Workspace]:
    """Three trainings in one workspace: 10, then 12, then 30 of 40 answers are right."""
    workspace = Workspace(tmp_path_factory.mktemp("registered"))
    config = PipelineConfig(workspace=workspace.root)
    for fingerprint, right in (("aaaaaaaaaaaa", 10), ("bbbbbbbbbbbb", 12), ("cccccccccccc", 30)):
        finish_training(workspace, fingerprint, right)
        register(config, workspace)
    return config, workspace


def test_each_stage_is_registered_once_a_training(
    registered: tuple[PipelineConfig, Workspace],
) -> None:
    tracker = register(*registered)
    versions = tracker.client.search_model_versions("name = 'clara'")
    assert sorted((v.tags["clara.stage"], v.tags["clara.fingerprint"][-1]) for v in versions) == [
        (stage, letter) for stage in ("stage1", "stage2", "stage3") for letter in "abc"
    ]
    assert {v.tags["clara.compr_rate"] for v in versions} == {"32"}
    candidate = tracker.client.get_model_version_by_alias("clara", "candidate")
    assert candidate.tags["clara.fingerprint"] == "stage3-cccccccccccc"


def test_a_version_keeps_its_weights_when_the_workspace_trains_again(
    registered: tuple[PipelineConfig, Workspace],
) -> None:
    _, workspace = registered
    kept = {path.name: path / "model" / "weights" for path in workspace.root.glob("registry/*")}
    assert kept["stage3-stage3-aaaaa"].read_text() == "aaaaaaaaaaaa"
    assert kept["stage3-stage3-ccccc"].read_text() == "cccccccccccc"
    # of what is still in the workspace, no second copy lies on the disk
    current = workspace.models / "stage3" / "weights"
    assert kept["stage3-stage3-ccccc"].samefile(current)


def stage3_version(tracker: Tracker, letter: str) -> str:
    versions = tracker.client.search_model_versions("name = 'clara'")
    return next(
        str(v.version) for v in versions if v.tags["clara.fingerprint"] == f"stage3-{letter * 12}"
    )


def test_the_champion_changes_only_for_a_version_that_is_shown_to_be_better(
    registered: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = registered
    tracker = register(config, workspace)
    first, similar, better = (stage3_version(tracker, letter) for letter in "abc")
    opened = promote(config, workspace, first)
    assert opened.promoted
    assert opened.reason == "there was no champion"
    stays = promote(config, workspace, similar)  # 2 of 40 answers differ: nothing is shown
    assert not stays.promoted
    assert stays.reason.startswith("no difference is shown: f1 +0.050")
    moved = promote(config, workspace, None)  # the candidate
    assert (moved.version, moved.champion, moved.promoted) == (better, first, True)
    assert moved.comparison is not None
    assert moved.comparison.difference == pytest.approx(20 / 40)
    worse = promote(config, workspace, first)
    assert not worse.promoted
    assert worse.reason.startswith("it is worse")
    assert promote(config, workspace, first, force=True).promoted
    client = tracker.client
    assert str(client.get_model_version_by_alias("clara", "champion").version) == first


def test_versions_that_cannot_be_compared_are_refused_with_the_way_out(
    registered: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = registered
    tracker = register(config, workspace)
    promote(config, workspace, stage3_version(tracker, "a"), force=True)
    with pytest.raises(DataError, match=r"no predictions of setting 'oracle'.*--force"):
        promote(config, workspace, stage3_version(tracker, "c"), setting="oracle")
    with pytest.raises(ConfigError, match=r"no version 77; there are: 1 \(stage1\)"):
        promote(config, workspace, "77")


def test_a_version_with_an_alias_of_somebodys_own_is_kept(
    registered: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = registered
    tracker = register(config, workspace)
    client = tracker.client
    client.set_registered_model_alias("clara", "customer-x", stage3_version(tracker, "b"))
    kept = {folder.name for folder in aliased_folders(config, workspace)}
    assert {"stage3-stage3-bbbbb", "stage3-stage3-ccccc"} <= kept  # the latter is the candidate
    assert "stage2-stage2-bbbbb" not in kept
    client.delete_registered_model_alias("clara", "customer-x")
    assert "stage3-stage3-bbbbb" not in {f.name for f in aliased_folders(config, workspace)}
    unknown = config.model_copy(
        update={"tracking": config.tracking.model_copy(update={"registered_model": "nobody"})}
    )
    assert aliased_folders(unknown, workspace) == set()


@pytest.fixture(scope="module")
def servable(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PipelineConfig, Workspace]:
    """Tiny random models with an index over four passages, registered."""
    from tasks.indexing.build import build_index

    workspace = tiny_workspace(tmp_path_factory.mktemp("servable"), shared)
    config = tiny_config(workspace)
    passages = [
        {"id": str(n), "text": f"Passage {n} is about lamp {n}.", "source": f"{n}.md", "page": None}
        for n in range(4)
    ]
    write_jsonl(workspace.passages, passages)
    build_index(config, workspace)
    for stage in ("stage1", "stage2", "stage3", "index"):
        write_json(workspace.manifests / f"{stage}.json", {"fingerprint": "f" * 20, "outputs": {}})
    register(config, workspace)
    return config, workspace


def test_a_registered_model_answers_through_pyfunc_after_the_workspace_moved_on(
    servable: tuple[PipelineConfig, Workspace],
) -> None:
    import mlflow

    config, workspace = servable
    for name in ("models/stage3", "models/base", "memory"):
        shutil.move(workspace.root / name, workspace.root / f"{name}.away")
    mlflow.set_tracking_uri(tracking.tracking_uri(config, workspace))
    model = mlflow.pyfunc.load_model("models:/clara@candidate")
    one = model.predict({"question": "Which lamp?"})
    assert one[0]["question"] == "Which lamp?"
    assert len(one[0]["citations"]) == model.unwrap_python_model().model.config.generation_top_k
    assert {c["source"] for c in one[0]["citations"]} <= {f"{n}.md" for n in range(4)}
    own = model.predict([{"question": "Which lamp?", "documents": ["A text.", "Another."]}])
    assert own[0]["citations"] == []
    for name in ("models/stage3", "models/base", "memory"):
        shutil.move(workspace.root / f"{name}.away", workspace.root / name)
    served = Path(mlflow.artifacts.download_artifacts("models:/clara@candidate"))
    assert [p.name for p in served.rglob("*.pkl")] == []
    assert read_records(workspace.passages)


@pytest.mark.slow
def test_mlflow_models_serve_answers_questions(
    servable: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = servable
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/clara@candidate",
         "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": tracking.tracking_uri(config, workspace),
            # MLflow starts `uvicorn` by its name, as in an activated environment.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        reply = _ask(port, {"inputs": {"question": "Which lamp?"}}, server)
        several = _ask(
            port, {"dataframe_records": [{"question": "a?"}, {"question": "b?"}]}, server
        )
    finally:
        os.killpg(server.pid, 9)
        server.wait()
    assert [row["question"] for row in reply["predictions"]] == ["Which lamp?"]
    assert reply["predictions"][0]["citations"]
    assert [row["question"] for row in several["predictions"]] == ["a?", "b?"]


def _ask(port: int, body: dict, server: subprocess.Popen) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as err:
            raise AssertionError(err.read().decode()) from err
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(1)
