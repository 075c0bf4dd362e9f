"""Settings by GPU, and a precision that may differ from session to session."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from clara_model.training.progress import Progress
from configs.load import load_config
from configs.machine import VARIABLE
from configs.schema import PipelineConfig
from tasks.training import accelerator_profile
from tasks.training.accelerator_profile import choose_precision, profile_accelerator
from tasks.training.launch import build_spec
from tasks.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("name", "memory", "capability", "precision", "micro_batch", "minutes"),
    [
        ("Tesla T4", 15.8, (7, 5), "fp16", 1, 3),
        ("NVIDIA L4", 23.8, (8, 9), "bf16", 2, 5),
        ("NVIDIA A100-SXM4-40GB", 42.4, (8, 0), "bf16", 4, 10),
        ("NVIDIA A100-SXM4-80GB", 85.1, (8, 0), "bf16", 8, 10),
        ("Tesla V100-SXM2-16GB", 16.9, (7, 0), "fp16", 1, 3),
    ],
)
def test_a_gpu_has_settings_that_a_worker_may_give(
    monkeypatch: pytest.MonkeyPatch, name: str, memory: float, capability: tuple[int, int],
    precision: str, micro_batch: int, minutes: float,
) -> None:  # fmt: skip
    profile = profile_accelerator(name, memory, capability)
    assert (profile.precision, profile.micro_batch) == (precision, micro_batch)
    monkeypatch.setenv(VARIABLE, " ".join(profile.settings()))
    config = load_config(ROOT / "configs" / "qwen3_4b.yaml")
    for stage in (config.training.stage1, config.training.stage2, config.training.stage3):
        assert (stage.micro_batch_size, stage.checkpoint_minutes) == (micro_batch, minutes)


def test_what_is_printed_is_what_a_worker_is_given() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.training.accelerator_profile"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.split() == list(accelerator_profile.detect_accelerator().settings())


def interrupted(workspace: Workspace, config: PipelineConfig, precision: str) -> None:
    """A checkpoint of stage 1 that another session left, in its own precision."""
    training = config.training.model_copy(update={"precision": precision})
    spec = build_spec(config.model_copy(update={"training": training}), workspace, "stage1")
    folder = spec.work / "step-0000005"
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(spec.identity, 5, 0, spec.layout, spec.settings)
    (folder / "state.json").write_text(json.dumps(asdict(progress)))


@pytest.mark.parametrize(
    ("earlier", "best", "expected", "resume"),
    [
        ("fp16", "bf16", "fp16", "refuse"),  # a T4, then an L4: exactly on
        ("bf16", "fp16", "fp16", "continue"),  # an A100, then a T4: by its weights
        ("bf16", "bf16", "bf16", "refuse"),
        ("fp16", "fp32", "fp32", "continue"),  # no GPU to be had
    ],
)
def test_auto_precision_goes_on_where_another_gpu_was_cut_off(
    workspace: Workspace, make_config: Callable[..., PipelineConfig],
    monkeypatch: pytest.MonkeyPatch, earlier: str, best: str, expected: str, resume: str,
) -> None:  # fmt: skip
    config = make_config(precision="auto")
    interrupted(workspace, config, earlier)
    monkeypatch.setattr(
        "tasks.training.launch.choose_precision", lambda work: choose_precision(work, best)
    )
    spec = build_spec(config, workspace, "stage1")
    assert (spec.precision, spec.resume) == (expected, resume)
    # Any other difference is still refused.
    other = make_config(steps=7, precision="auto")
    assert build_spec(other, workspace, "stage1").resume == "refuse"


def test_auto_precision_without_a_gpu_is_float32(
    workspace: Workspace, make_config: Callable[..., PipelineConfig]
) -> None:
    assert build_spec(make_config(precision="auto"), workspace, "stage1").precision == "fp32"
