"""What of the settings decides the synthesis step, and what of the model's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks.plan import build_plan
from tasks.workspace import Workspace


def decisive(folder: Path, top_k: int, joint_share: float = 0.2) -> dict[str, Any]:
    config = PipelineConfig.model_validate(
        {"workspace": folder, "model": {"generation_top_k": top_k},
         "synthesis": {"joint_share": joint_share}}
    )  # fmt: skip
    return build_plan(config, Workspace(folder))["synthesize"].settings


def test_synthesis_is_made_again_only_where_joint_questions_come_or_go(tmp_path: Path) -> None:
    assert decisive(tmp_path, 2) == decisive(tmp_path, 5)
    assert decisive(tmp_path, 1) != decisive(tmp_path, 2)
    assert decisive(tmp_path, 1) == decisive(tmp_path, 5, joint_share=0.0)
