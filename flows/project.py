"""Where a worker finds the code of a deployment: in the project that is installed beside it."""

from __future__ import annotations

import os
from pathlib import Path


def enter_project() -> dict[str, str]:
    """Work in the project's folder, wherever it lies on this machine (a pull step of Prefect)."""
    folder = Path(__file__).resolve().parents[1]
    os.chdir(folder)
    return {"directory": str(folder)}
