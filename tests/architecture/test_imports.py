"""Dependencies point one way, and starting a flow stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FORBIDDEN = {
    "clara_model": {"prefect", "mlflow", "docling", "configs", "tasks", "flows"},
    "configs": {"torch", "prefect", "mlflow", "docling", "tasks", "flows"},
    "tasks": {"flows"},
    "flows": {"torch", "docling", "mlflow", "transformers"},
}


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, functions included."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            packages.add(node.module.split(".")[0])
    return packages


@pytest.mark.parametrize("room", FORBIDDEN)
def test_room_imports_nothing_from_above_it(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    wrong = {
        str(path.relative_to(ROOT)): imported_packages(path) & FORBIDDEN[room]
        for path in files
        if imported_packages(path) & FORBIDDEN[room]
    }
    assert wrong == {}


def test_prefect_is_known_only_to_task_skins_and_flows() -> None:
    files = [p for p in (ROOT / "tasks").rglob("*.py") if p.name != "task.py"]
    assert [str(p) for p in files if "prefect" in imported_packages(p)] == []


def test_data_room_holds_no_code() -> None:
    assert list((ROOT / "data" / "samples").rglob("*.py")) == []


@pytest.mark.parametrize(
    "module",
    ["clara_model", "clara_model.config", "clara_model.rows", "clara_model.prompts",
     "configs.load", "flows.cli", "flows.pipeline", "flows.console"],
)  # fmt: skip
def test_light_module_imports_without_torch_or_docling(module: str) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['docling'] = None; import " + module
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_no_test_folder_is_a_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
