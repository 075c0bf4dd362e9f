"""Tiny checkpoints of CLaRa's stages in both layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model import Clara

QUESTIONS = ["Where was Ada Lark born?", "What is Heron Mills known for?", "Who is Tom Ash?"]


@pytest.fixture(scope="session")
def questions() -> list[str]:
    return list(QUESTIONS)


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_clara: Callable[..., Clara]) -> Callable[..., Path]:
    """Writes a tiny stage's checkpoint whose adapters act."""

    def write(stage: str = "stage3", *, layout: str = "safetensors", **options: object) -> Path:
        folder = tmp_path / f"{stage}-{len(list(tmp_path.iterdir()))}"
        tiny_clara(stage=stage, **options).save_pretrained(folder, layout)
        return folder

    return write
