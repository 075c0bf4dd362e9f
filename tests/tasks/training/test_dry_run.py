"""Plans of stages that have not run: with and without rows, for this machine and for another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clara_model.errors import ConfigError
from clara_model.training.engine import learning_rate
from configs.load import load_config
from configs.schema import PipelineConfig
from tasks.training.dry_run import StagePlan, describe_schedule, plan_stages
from tasks.training.launch import build_spec
from tasks.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]
# Tables of experiments have a schema of their own.
EXPERIMENTS = ("learn", "learn_five", "world_gpu")
CONFIGS = sorted(
    path for path in (ROOT / "configs").rglob("*.yaml") if path.stem not in EXPERIMENTS
)
STAGES = ["stage1", "stage2", "stage3"]


def question(i: int, candidates: int) -> dict:
    docs = [f"document {i + j} about something" for j in range(candidates)]
    return {"question": "What is it about?", "docs": docs, "gold_answer": "something",
            "answer": "something", "pos_index": [0]}  # fmt: skip


@pytest.fixture
def filled(tmp_path: Path) -> Workspace:
    """Twenty rows a stage."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.root.mkdir()
    pretrain = [{"data_type": "qa", "question": ["What?"], "answers": ["it"], "docs": [f"text {i}"]}
                for i in range(20)]  # fmt: skip
    for path, rows in (
        (workspace.pretrain_data, pretrain),
        (workspace.instruction_data, [question(i, 2) for i in range(20)]),
        (workspace.end_to_end_data, [question(i, 6) for i in range(20)]),
    ):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workspace


def plan(workspace: Workspace, stage: str, gpu: str | None = None, **tree: object) -> StagePlan:
    config = PipelineConfig.model_validate(tree)
    return plan_stages(config, workspace, [stage], gpu)[0]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_can_be_planned_before_anything_is_there(
    path: Path, tmp_path: Path
) -> None:
    config = load_config(path, [f"workspace={tmp_path / 'none'}"])
    plans = plan_stages(config, Workspace(config.workspace), STAGES, "H100")
    assert [p.stage for p in plans] == STAGES
    for p in plans:
        settings = getattr(config.training, p.stage)
        assert p.rows is None
        assert p.steps == settings.steps
        assert p.micro_batch_size * p.accumulation * p.ranks >= settings.batch_size
        assert sum(p.trains.values()) > 0
        assert (p.seconds is None) == (p.steps is None)
        assert p.fits, p.obstacles
        json.dumps(p.as_record())
    assert not (tmp_path / "none").exists()


def test_steps_follow_from_rows_epochs_and_batch(filled: Workspace) -> None:
    # Twenty rows twice, eight at a time.
    found = plan(filled, "stage2", training={"stage2": {"batch_size": 8, "epochs": 2}})
    assert (found.rows, found.steps) == (20, 5)
    assert found.tokens_from == "rows"
    assert found.seconds is not None


def test_a_trained_compressor_reads_every_candidate(filled: Workspace) -> None:
    def tokens(train_compressor: bool) -> float:
        stage = {"batch_size": 4, "train_compressor": train_compressor}
        found = plan(filled, "stage3", model={"doc_max_length": 64, "compr_rate": 8,
                     "generation_top_k": 2}, training={"stage3": stage})  # fmt: skip
        assert found.tokens_per_example is not None
        return found.tokens_per_example

    # Six candidates of at least the 11 tokens that every encoded text has.
    assert tokens(True) - tokens(False) >= 6 * 11


def test_a_measured_rate_is_preferred_to_an_estimate(filled: Workspace) -> None:
    logs = filled.logs / "stage1"
    logs.mkdir(parents=True)
    lines = [{"step": i, "examples_per_s": rate} for i, rate in enumerate([1.0, 4.0, 4.0, 5.0])]
    (logs / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = plan(filled, "stage1", training={"stage1": {"steps": 30, "batch_size": 8}})
    assert found.seconds == pytest.approx(30 * 8 / 4.0)
    assert "4 examples/s in logs/stage1" in found.seconds_from


def test_what_does_not_fit_says_why(filled: Workspace) -> None:
    mistral = {"base": "mistralai/Mistral-7B-Instruct-v0.2"}
    small = plan(filled, "stage1", gpu="T4", model=mistral)
    assert any("GB of memory are needed, 16.0 GB are there" in o for o in small.obstacles)
    large = plan(filled, "stage1", gpu="H200", model=mistral)
    assert large.fits
    # 7.24 billion numbers and two adapters of 42 million, at four bytes.
    assert large.memory["weights"] == pytest.approx(29.3e9, rel=0.01)


def test_auto_micro_batches_shrink_until_they_fit(filled: Workspace) -> None:
    tree = {"model": {"base": "Qwen/Qwen3-4B"}, "training": {"precision": "bf16"}}
    wide, narrow = (plan(filled, "stage1", gpu=gpu, **tree) for gpu in ("H200", "L4"))
    assert narrow.fits
    assert narrow.micro_batch_size < wide.micro_batch_size <= 128
    assert narrow.micro_batch_size * narrow.accumulation >= 128


def test_a_batch_that_ranks_cannot_share_is_refused(filled: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"batch_size 8 is not a multiple of .*3"):
        plan(filled, "stage1", training={"num_processes": 3, "stage1": {"batch_size": 8}})


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_schedule_in_words_is_the_trainers(tmp_path: Path, schedule: str) -> None:
    stage = {"schedule": schedule, "warmup_ratio": 0.05, "learning_rate": 2.0e-4}
    config = PipelineConfig.model_validate({"training": {"stage1": stage}})
    spec = build_spec(config, Workspace(tmp_path), "stage1")
    words = describe_schedule(spec, 50)
    # The third step is the last before the peak: 5 % of 50 steps, rounded up.
    rates = [learning_rate(spec.training, step, 50) for step in range(5)]
    assert rates.index(max(rates)) == 3
    assert words.startswith("up to 0.0002 over 3 steps, then ")
    assert {"cosine": "cosine", "linear": "straight", "constant": "constant"}[schedule] in words
    assert "5 % of the steps" in describe_schedule(spec, None)


@pytest.mark.parametrize(
    "named",
    [[], pytest.param(["all", "configs/quickstart.yaml"], marks=pytest.mark.slow)],
    ids=["plain", "named"],
)
def test_the_command_prints_one_json_object_and_trains_nothing(
    tmp_path: Path, named: list[str]
) -> None:
    command = [sys.executable, "-m", "flows.cli", "train", "--dry-run", "--json",
               "--set", f"workspace={tmp_path / 'none'}", *named]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]
    assert [stage["stage"] for stage in stages] == STAGES
    assert [stage["steps"] for stage in stages] == [900, 300, 500]
    assert not (tmp_path / "none").exists()


def test_the_table_says_it_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from flows.dry_run import show_plans

    overrides = [f"workspace={tmp_path}", "training.stage1.steps=1000"]
    show_plans(["stage1"], ROOT / "configs/qwen3_4b.yaml", overrides, gpu="A100", as_json=False)
    output = " ".join(capsys.readouterr().out.split())
    for words in ("not made yet", "32 = micro-batch 1 x accumulation 32 x ranks 1",
                  "4,022,468,096 numbers", "encoder_adapter 33,030,144", ": fits"):  # fmt: skip
        assert words in output


def test_an_unknown_gpu_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    from flows.dry_run import show_plans

    with pytest.raises(ConfigError, match="--gpu Abacus: not in the table; known are H200, H100"):
        show_plans(["stage1"], ROOT / "configs/qwen3_4b.yaml", [], gpu="Abacus", as_json=False)
