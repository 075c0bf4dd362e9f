"""Commands that only read, on a machine that has nothing of a remote workspace yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_rows import write_workspace
from tiny_workspace import tiny_config, tiny_workspace
from typer.testing import CliRunner

from clara_model.errors import ConfigError
from configs.schema import PipelineConfig
from flows.commands.rows import rows as commands
from flows.dry_run import show_plans
from flows.estimate import show_estimate
from flows.status import show_status
from tasks.housekeeping.status import read_status
from tasks.housekeeping.step_state import watch_step
from tasks.inspection.look import look_inside
from tasks.leases import hold_lease
from tasks.manifests import Step, run_step
from tasks.plan import build_plan
from tasks.storage import StepResult, write_jsonl
from tasks.travel.mirror import open_workspace
from tasks.travel.remote import Remote, RemoteLeases
from tasks.turn import take_turn
from tasks.workspace import Workspace


@pytest.fixture
def config(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a workspace of rows that one machine has sent; this machine has another cache."""
    tree = {"workspace": str(tmp_path / "one"), "remote": uri}
    ws = write_workspace(tmp_path / "one")
    rows = (ws.pretrain_data, ws.instruction_data, ws.end_to_end_data, ws.all_training_data,
            ws.benchmark)  # fmt: skip
    for step in (
        Step("extract", "", 1, {}, (), (ws.raw_knowledge,)),
        Step("caption", "", 1, {}, (), (ws.captions,)),
        Step("passages", "", 1, {"length": 64}, (), (ws.passages,)),
        Step("synthesize", "", 1, {}, (), (ws.synthesis,)),
        Step("mine", "", 1, {"top_k": 2}, (), rows),
    ):
        with take_turn(step, ws, PipelineConfig.model_validate(tree), force=True):
            run_step(step, ws, lambda: StepResult({}))
    monkeypatch.setenv("CLARA_CACHE", str(tmp_path / "two"))
    settings = {
        "workspace": uri, "extraction": {"input": str(tmp_path)},
        "training": {"world": {"share": 0.0}, "stage1": {"batch_size": 2, "steps": 1}},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "config.yaml"


def call(*arguments: Any) -> str:
    result = CliRunner().invoke(commands, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_row_is_traced_to_sources_that_are_fetched(config: Path) -> None:
    told = json.loads(call("trace", "bbbb", config, "--json"))
    assert [p["document"]["file_path"] for p in told["passages"]] == ["tower.pdf"]
    # Replies of paid requests stay on the machine that paid.
    assert any("is not in the cache" in note for note in told["notes"])


def test_a_workspace_is_validated_by_its_address(config: Path, uri: str, tmp_path: Path) -> None:
    told = json.loads(call("validate", uri, "--json"))
    assert told["valid"] is True
    assert {Path(file["file"]).name for file in told["files"]} >= {
        "passages.jsonl", "pretrain_data.jsonl", "oracle.jsonl", "clara_training_data.jsonl"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="--out FOLDER"):
        call("validate", uri, "--fix")
    call("validate", uri, "--fix", "--out", tmp_path / "fixed")
    assert (tmp_path / "fixed" / "benchmark" / "oracle.jsonl").is_file()


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="holds a password") as caught:
        call("validate", "sftp://me:swordfish@host/w")
    assert "swordfish" not in str(caught.value)


def test_the_data_card_is_made_from_rows_that_are_fetched(config: Path, tmp_path: Path) -> None:
    page = call("card", config).strip()
    assert str(tmp_path / "two") in page
    assert "tower.pdf" in (Path(page.removeprefix("file://")).parent / "card.md").read_text()


def test_an_estimate_counts_the_passages_that_are_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_estimate(("synthesize",), config, (), as_json=True)
    assert json.loads(capsys.readouterr().out)["notes"] == [
        "synthesize: 4 passages, from passages.jsonl"
    ]


def test_a_dry_run_counts_the_rows_that_are_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_plans(["stage1"], config, (), gpu="A100", as_json=True)
    [plan] = json.loads(capsys.readouterr().out)["stages"]
    assert (plan["rows"], plan["tokens_from"]) == (2, "rows")


def test_status_sees_who_works_on_another_machine(
    config: Path, remote: Remote, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold_lease("stage1", RemoteLeases(remote)):
        assert show_status(config, (), send=False, as_json=True) == 0
    found = {s["step"]: s for s in json.loads(capsys.readouterr().out)["steps"]}
    assert found["stage1"]["state"] == "running"
    assert "@" in found["stage1"]["detail"]
    assert found["stage2"]["state"] == "to do"


def test_an_inspection_fetches_the_model_and_the_passages(
    uri: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = tiny_workspace(tmp_path / "one", shared)
    write_jsonl(ws.passages, [{"id": "p1", "source": "a.pdf", "text": "Osterly has a port."}])
    tree = tiny_config(ws).model_dump() | {"remote": uri}
    sent = (
        ("passages", ws.passages),
        ("base", ws.models / "base"),
        ("stage1", ws.models / "stage1"),
    )
    for name, path in sent:
        step = Step(name, "", 1, {}, (), (path,))
        with take_turn(step, ws, PipelineConfig.model_validate(tree), force=True):
            run_step(step, ws, lambda: StepResult({}))
    monkeypatch.setenv("CLARA_CACHE", str(tmp_path / "two"))
    here = PipelineConfig.model_validate(tree | {"workspace": str(tmp_path / "two"), "remote": uri})
    looked = look_inside(here, "Who has a port?", model="stage1")
    assert [d.source for d in looked.documents] == ["a.pdf"]
    assert not (tmp_path / "two" / "models" / "stage2").exists()


def test_status_sees_what_failed_on_another_machine_until_it_is_done(
    config: Path, remote: Remote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(step: str) -> dict[str, str]:
        show_status(config, (), send=False, as_json=True)
        return next(s for s in json.loads(capsys.readouterr().out)["steps"] if s["step"] == step)

    one = Workspace(tmp_path / "one")
    tree = {"workspace": str(one.root), "remote": remote.uri}
    elsewhere = PipelineConfig.model_validate(tree)
    step = Step("stage1", "", 1, {}, (), (one.models / "stage1",))

    def train(error: BaseException | None) -> None:
        with take_turn(step, one, elsewhere, force=True), watch_step(one, "stage1", "run-1"):
            if error is not None:
                raise error
            (one.models / "stage1").mkdir(parents=True)
            run_step(step, one, lambda: StepResult({}))

    with pytest.raises(ValueError, match="no memory"):
        train(ValueError("no memory"))
    assert found("stage1")["state"] == "failed"
    assert found("stage1")["detail"].endswith("ValueError: no memory")
    with pytest.raises(KeyboardInterrupt):
        train(KeyboardInterrupt())
    assert found("stage1")["state"] == "interrupted"
    train(None)
    assert found("stage1")["state"] not in ("failed", "interrupted")
    assert remote.list_files("failures") == {}


def test_a_step_that_failed_here_and_was_done_elsewhere_is_done(
    uri: str, store: None, tmp_path: Path
) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("A fact.")
    here, there = (
        PipelineConfig.model_validate({
            "workspace": str(tmp_path / machine), "remote": uri,
            "extraction": {"input": str(tmp_path / "documents")},
        })
        for machine in ("here", "there")
    )  # fmt: skip

    def state() -> str:
        workspace = open_workspace(here)
        return next(s.state for s in read_status(here, workspace).steps if s.step == "extract")

    with pytest.raises(ValueError, match="no"), watch_step(open_workspace(here), "extract", "r"):
        raise ValueError("no")
    assert state() == "failed"
    workspace = Workspace(there.workspace)
    step = build_plan(there, workspace)["extract"]
    with take_turn(step, workspace, there):
        workspace.raw_knowledge.parent.mkdir(parents=True, exist_ok=True)
        workspace.raw_knowledge.touch()
        workspace.extracted_assets.mkdir()
        run_step(step, workspace, lambda: StepResult({}))
    assert state() == "done"
