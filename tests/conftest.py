"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of given material (conformance vectors, documents, rows, benchmarks)."""
    folder = Path(os.environ.get("CLARA_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"given material not found at {folder}; set CLARA_SHARED to its folder")
    return folder
