"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# The same examples in every run, so that a red run is due to its change; HYPOTHESIS_PROFILE=default
# looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of given material (conformance vectors, documents, rows, benchmarks)."""
    folder = Path(os.environ.get("CLARA_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"given material not found at {folder}; set CLARA_SHARED to its folder")
    return folder
