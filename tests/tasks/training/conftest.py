"""A workspace that is ready to train: a tiny base and rows of all stages."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.workspace import Workspace

NAMES = ["Ada", "Tom", "Eve", "Ben", "Ida", "Max", "Zoe", "Kit"]
CITIES = ["Orford", "Kelso", "Salford", "Yarrow"]


def _write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _questions(documents: list[str], candidates: int) -> list[dict]:
    draw = random.Random(candidates)
    rows = []
    for text in documents:
        others = draw.sample([d for d in documents if d != text], candidates - 1)
        answer = text.split()[-1]
        rows.append({"question": f"Where does {text.split()[0]} live?", "docs": [text, *others],
                     "gold_answer": answer, "answer": answer, "pos_index": [0]})  # fmt: skip
    return rows


@pytest.fixture
def workspace(tmp_path: Path, shared: Path) -> Workspace:
    """Tiny rows and a tiny base decoder."""
    root = tmp_path / "workspace"
    found = Workspace(root)
    shutil.copytree(shared / "conformance/mistral_cr8/base", found.models / "base")
    documents = [f"{name} lives in {CITIES[i % 4]}" for i, name in enumerate(NAMES)]
    _write(found.pretrain_data, [
        {"data_type": "qa", "question": ["Where?"], "answers": [text.split()[-1]], "docs": [text]}
        for text in documents
    ])  # fmt: skip
    _write(found.instruction_data, _questions(documents, 2))
    _write(found.end_to_end_data, _questions(documents, 5))
    return found


@pytest.fixture
def make_config() -> Callable[..., PipelineConfig]:
    """Builds a configuration of short stages; `training` overrides."""

    def build(steps: int = 6, **training: object) -> PipelineConfig:
        stage = {"batch_size": 8, "steps": steps, "checkpoint_every": 5, "learning_rate": 1e-3}
        return PipelineConfig.model_validate({
            "model": {"doc_max_length": 32, "compr_rate": 8, "generation_top_k": 2, "lora_r": 2},
            "negatives": {"num_candidates": 5},
            "training": {"stage1": stage, "stage2": stage, "stage3": stage, "threads": 1,
                         **training},
        })  # fmt: skip

    return build
