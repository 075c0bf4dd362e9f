"""A workspace with tiny random models and a small benchmark, as training would leave it."""

from __future__ import annotations

import shutil
from pathlib import Path

from clara_model.world import benchmark_rows
from configs.schema import PipelineConfig
from tasks.storage import write_jsonl
from tasks.workspace import Workspace

CHECKPOINTS = {"base": "base", "stage1": "checkpoint", "stage2": "checkpoint",
               "stage3": "checkpoint_stage3"}  # fmt: skip


def tiny_workspace(folder: Path, shared: Path, questions: int = 6) -> Workspace:
    """Random-weight models of two layers; the world's test split, and two of the user's own rows.

    The user's first question has no gold document among its normal candidates.
    """
    workspace = Workspace(folder)
    for name, source in CHECKPOINTS.items():
        shutil.copytree(shared / "conformance" / "qwen3_cr4" / source, workspace.models / name)
    rows = list(benchmark_rows(questions, 0, "test", 6))
    for setting in ("normal", "oracle"):
        write_jsonl(workspace.world / "benchmark" / f"{setting}.jsonl", rows)
    own = [{**row, "origin": "documents", "provider": "embedded"} for row in rows[:2]]
    write_jsonl(workspace.benchmark / "oracle.jsonl", own)
    write_jsonl(workspace.benchmark / "normal.jsonl", [{**own[0], "pos_index": []}, own[1]])
    return workspace


def tiny_config(workspace: Workspace) -> PipelineConfig:
    """Two documents a question, answers of four tokens."""
    return PipelineConfig.model_validate(
        {
            "workspace": str(workspace.root),
            "model": {"generation_top_k": 2},
            "negatives": {"num_candidates": 6},
            "training": {"world": {"share": 0.5}},
            "evaluation": {"max_new_tokens": 4, "batch_size": 4, "bootstrap_samples": 100},
        }
    )
