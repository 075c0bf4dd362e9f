"""A tiny stage to train: rows, a spec, and this process as the only rank."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clara_model.training.engine import Ranks, start_ranks
from clara_model.training.spec import ModelPart, StagePart, TrainSpec

NAMES = ["Ada Lark", "Tom Ash", "Eve Moss", "Ben Reed", "Ida Fern", "Max Birch"]
CITIES = ["Orford", "Kelso", "Salford", "Yarrow"]


def _documents() -> list[str]:
    draw = random.Random(0)
    return [f"{name} was born in {draw.choice(CITIES)} in {1900 + 7 * i}."
            for i, name in enumerate(NAMES)]  # fmt: skip


def _rows(stage: str) -> list[dict]:
    documents, draw = _documents(), random.Random(1)
    if stage == "stage1":
        return [
            {"data_type": "qa", "question": ["Where?"], "answers": [text.split()[5]],
             "docs": [text]}
            for text in documents
        ]  # fmt: skip
    rows = []
    for i, text in enumerate(documents):
        docs = [
            text,
            *draw.sample(documents[:i] + documents[i + 1 :], 3 if stage == "stage3" else 1),
        ]
        answer = text.split()[5]
        rows.append({"question": f"Where was {NAMES[i]} born?", "docs": docs,
                     "gold_answer": answer, "answer": answer, "pos_index": [0]})  # fmt: skip
    return rows


@pytest.fixture
def make_spec(tmp_path: Path, tiny_base: Callable[..., Path]) -> Callable[..., TrainSpec]:
    """Builds the spec of a stage over tiny rows; `training` and `model` override their parts."""

    def build(
        stage: str, *, training: dict | None = None, model: dict | None = None, **options: object
    ) -> TrainSpec:
        rows = tmp_path / f"{stage}.jsonl"
        if not rows.exists():
            rows.write_text("".join(json.dumps(row) + "\n" for row in _rows(stage)))
        parts = {"batch_size": 4, "learning_rate": 1e-2, "steps": 6, "checkpoint_every": 2}
        size = {"doc_max_length": 24, "compr_rate": 6, "generation_top_k": 2, "lora_r": 2}
        places = {
            "documents": rows,
            "base": tiny_base(),
            "output": tmp_path / "models" / stage,
            "work": tmp_path / "work" / stage,
            "logs": tmp_path / "logs" / stage,
            "memory": tmp_path / "memory" if stage == "stage3" else None,
        }
        return TrainSpec(
            stage=stage,
            model=ModelPart(**(size | (model or {}))),
            training=StagePart(**(parts | (training or {}))),
            **(places | options),
        )

    return build


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """This process as the only rank of a DeepSpeed run."""
    with pytest.MonkeyPatch.context() as patch:
        environment = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0",
                       "DS_ACCELERATOR": "cpu"}  # fmt: skip
        for name, value in environment.items():
            patch.setenv(name, value)
        yield start_ranks()
