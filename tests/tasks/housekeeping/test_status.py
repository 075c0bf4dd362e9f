from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.housekeeping.checks import check_models, check_servers, check_workspace
from tasks.housekeeping.garbage import find_garbage, remove_garbage
from tasks.housekeeping.status import read_status
from tasks.housekeeping.step_state import read_step_state, watch_step
from tasks.manifests import run_step
from tasks.plan import build_plan
from tasks.storage import StepResult, write_json
from tasks.workspace import Workspace


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[PipelineConfig, Workspace]:
    """Extraction and captions are done; documents of one line."""
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "a.md").write_text("A fact.")
    workspace = Workspace(tmp_path / "workspace")
    config = PipelineConfig.model_validate(
        {"workspace": workspace.root, "extraction": {"input": documents}}
    )
    for name in ("extract", "caption"):
        do(config, workspace, name)
    return config, workspace


def do(config: PipelineConfig, workspace: Workspace, name: str) -> None:
    step = build_plan(config, workspace)[name]

    def work() -> StepResult:
        for path in step.outputs:
            if path.suffix:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{name}\n")
            else:
                path.mkdir(parents=True, exist_ok=True)
                (path / "file").write_text(name)
        return StepResult({"files": 1.0})

    run_step(step, workspace, work)


def states(config: PipelineConfig, workspace: Workspace) -> dict[str, str]:
    return {s.step: s.state for s in read_status(config, workspace).steps}


def detail(config: PipelineConfig, workspace: Workspace, name: str) -> str:
    return next(s.detail for s in read_status(config, workspace).steps if s.step == name)


def test_done_and_to_do_are_told_apart(prepared: tuple[PipelineConfig, Workspace]) -> None:
    found = states(*prepared)
    assert (found["extract"], found["caption"], found["stage1"]) == ("done", "done", "to do")


def test_a_changed_setting_makes_a_step_stale_and_what_comes_after_it(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    extraction = config.extraction.model_copy(update={"min_image_side": 99})
    changed = config.model_copy(update={"extraction": extraction})
    found = states(changed, workspace)
    assert (found["extract"], found["caption"]) == ("stale", "stale")
    assert detail(changed, workspace, "extract") == "other settings: min_image_side"
    assert detail(changed, workspace, "caption") == "comes after extract, which is not done"


def test_running_failed_and_interrupted_steps_are_seen(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    with watch_step(workspace, "passages", "run-1"):
        assert states(config, workspace)["passages"] == "running"
    assert read_step_state(workspace, "passages") is None
    with pytest.raises(ValueError, match="no text"), watch_step(workspace, "passages", "run-1"):
        raise ValueError("no text")
    assert states(config, workspace)["passages"] == "failed"
    assert detail(config, workspace, "passages").endswith("ValueError: no text")
    with pytest.raises(KeyboardInterrupt), watch_step(workspace, "passages", "run-1"):
        raise KeyboardInterrupt
    assert states(config, workspace)["passages"] == "interrupted"


def test_a_step_whose_process_was_killed_is_interrupted_not_running(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    code = (
        "import os, sys; from pathlib import Path\n"
        "from tasks.housekeeping.step_state import watch_step\n"
        "from tasks.workspace import Workspace\n"
        "with watch_step(Workspace(Path(sys.argv[1])), 'mine', 'run-1'): os._exit(9)\n"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code, str(workspace.root)], cwd=root)
    assert states(config, workspace)["mine"] == "interrupted"


def test_only_what_no_manifest_needs_is_garbage(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    needed = [
        workspace.progress / "stage1" / "step-5" / "state.json",  # stage 1 is not done
        workspace.models / "stage1" / "adapters.safetensors",
        workspace.cache / "ab" / "reply.json",
        workspace.manifests / ".hashes.json",
    ]
    rubbish = [
        workspace.progress / "extract.jsonl",  # extraction is done
        workspace.models / "stage1-old" / "adapters.safetensors",
        workspace.memory / "store" / "shard.safetensors",  # no index, no stage 3
    ]
    for path in (*needed, *rubbish):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 10)
    found = find_garbage(config, workspace)
    assert {str(g.path.relative_to(workspace.root)) for g in found} == {
        "progress/extract.jsonl", "models/stage1-old", "memory/store"
    }  # fmt: skip
    assert all(path.exists() for path in (*needed, *rubbish))  # listed, not removed
    assert remove_garbage(found) == 30
    assert all(path.exists() for path in needed)
    assert not any(path.exists() for path in rubbish)


def test_nothing_is_collected_while_a_step_runs(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    with (
        watch_step(workspace, "stage1", "run-1"),
        pytest.raises(DataError, match="stage1 is running on"),
    ):
        find_garbage(config, workspace)


def test_paid_replies_go_only_when_asked_and_all_that_asked_is_done(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    reply = workspace.cache / "ab" / "reply.json"
    reply.parent.mkdir(parents=True)
    reply.write_text("{}")
    assert find_garbage(config, workspace, replies=True) == []  # synthesis has not been done
    for name in ("tokenizer", "passages", "synthesize", "mine"):
        do(config, workspace, name)
    assert find_garbage(config, workspace) == []
    assert [g.path for g in find_garbage(config, workspace, replies=True)] == [reply.parent]


def test_versions_without_an_alias_are_garbage_once_they_are_replaced(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    for name in ("champion", "current", "neither"):
        write_json(workspace.root / "registry" / name / "version.json", {"fingerprint": name})
    write_json(workspace.manifests / "stage3.json", {"fingerprint": "current", "outputs": {}})
    kept = {(workspace.root / "registry" / "champion").resolve()}
    assert find_garbage(config, workspace) == []  # the registry could not be asked
    found = find_garbage(config, workspace, kept_versions=kept)
    assert [g.path.name for g in found] == ["neither"]


def test_doctor_names_what_is_not_as_a_step_left_it(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    assert [f.state for f in check_workspace(config, workspace)] == ["ok"]
    workspace.captions.write_text("changed by hand")
    workspace.raw_knowledge.unlink()
    (workspace.manifests / "mine.json").write_text("{ torn")
    found = {f.what: f for f in check_workspace(config, workspace)}
    assert found["workspace"].detail.endswith("0 steps are whole")
    assert "raw_knowledge.jsonl is gone" in found["result of extract"].detail
    assert "captions.jsonl is not as the step left it" in found["result of caption"].detail
    assert found["manifest of mine"].state == "note"
    assert all(f.remedy for f in found.values() if f.state != "ok")


def test_doctor_finds_a_missing_base_and_a_tracking_server_that_is_down(tmp_path: Path) -> None:
    config = PipelineConfig.model_validate(
        {"workspace": tmp_path, "model": {"base": str(tmp_path)},
         "tracking": {"uri": "http://127.0.0.1:9"}}
    )  # fmt: skip
    [base] = check_models(config)
    assert base.state == "missing"
    mlflow = check_servers(config, Workspace(tmp_path))[0]
    assert (mlflow.state, mlflow.what) == ("note", "MLflow")
    assert "runs go on" in mlflow.remedy


def test_doctor_looks_for_encoders_that_run_here(tmp_path: Path) -> None:
    (tmp_path / "e5").mkdir()
    (tmp_path / "e5" / "config.json").write_text("{}")
    config = PipelineConfig.model_validate({
        "negatives": {"dense": {"local_model": str(tmp_path / "e5")},
                      "strategies": {"bm25": 0.5, "dense": 0.5}},
        "evaluation": {"retriever": f"dense:{tmp_path}/absent"},
    })  # fmt: skip
    found = {f.what: f for f in check_models(config) if f.what.startswith("encoder")}
    assert found["encoder of negatives.dense.local_model"].state == "ok"
    absent = found["encoder of evaluation.retriever"]
    assert absent.state == "missing"
    assert "set evaluation.retriever" in absent.remedy


def test_doctor_names_a_store_that_cannot_be_reached_and_goes_on(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "doctor", "--json", "--set", "workspace=nowhere://a/b",
         "--set", f"execution.cache={tmp_path}"],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = {f["what"]: f for f in json.loads(done.stdout)}
    assert "nowhere" in found["remote workspace"]["detail"]
    assert "docs/workspaces.md" in found["remote workspace"]["remedy"]
    assert found["base decoder"]["state"] == "ok"
    assert [f["what"] for f in found.values() if f["state"] != "ok" and not f["remedy"]] == []


def test_status_on_the_command_line_is_json_and_fails_if_a_step_has(
    prepared: tuple[PipelineConfig, Workspace],
) -> None:
    config, workspace = prepared
    root = Path(__file__).resolve().parents[3]
    documents = config.extraction.input
    command = [
        sys.executable, "-m", "flows.cli", "status", "--json",
        "--set", f"workspace={workspace.root}", "--set", f"extraction.input={documents}",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="x"), watch_step(workspace, "base", "run-1"):
        raise ValueError("x")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    found = {s["step"]: s["state"] for s in json.loads(done.stdout)["steps"]}
    assert done.returncode == 1, done.stderr
    assert found["base"] == "failed"
