"""The Colab notebook as it is committed: valid, empty, without keys, without Colab elsewhere."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import nbformat
import pytest

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "colab_worker.ipynb"
NOTEBOOK = nbformat.read(PATH, as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
KEYS = re.compile(
    r"sk-[A-Za-z0-9]{8}|pnu_[A-Za-z0-9]{8}|AKIA[A-Z0-9]{12}|hf_[A-Za-z0-9]{16}"
    r"|(?:key|token|password|secret)\w*\s*=\s*[\"'][^\"'$]{6,}",
    re.IGNORECASE,
)


def test_it_is_a_valid_notebook() -> None:
    nbformat.validate(NOTEBOOK)
    assert NOTEBOOK.metadata.accelerator == "GPU"
    assert NOTEBOOK.metadata.kernelspec.name == "python3"


def test_no_output_is_committed() -> None:
    assert [cell.id for cell in CODE if cell.outputs or cell.execution_count is not None] == []


def test_no_key_and_no_place_of_one_machine_stands_in_it() -> None:
    text = "\n".join(cell.source for cell in NOTEBOOK.cells)
    assert KEYS.findall(text) == []
    assert re.findall(r"/(?:home|root|Users|tmp|work)/", text) == []


def test_the_search_for_keys_finds_some() -> None:
    assert KEYS.search('PREFECT_API_KEY = "pnu_0123456789abcdef"')
    assert KEYS.search("password = 'swordfish'")


@pytest.mark.parametrize("cell", CODE, ids=lambda cell: cell.id)
def test_colab_is_used_only_where_it_is(cell: nbformat.NotebookNode) -> None:
    guarded: set[int] = set()
    tree = ast.parse(cell.source)
    for node in ast.walk(tree):
        is_guard = isinstance(node, ast.If) and "colab is not None" in ast.unparse(node.test)
        if is_guard or isinstance(node, ast.Try):
            guarded |= {id(inner) for inner in ast.walk(node)}
    colab = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("google")
    ]
    assert all(id(node) in guarded for node in colab)


def test_what_it_installs_is_what_a_gpu_needs_and_exists() -> None:
    (extras,) = re.findall(r'"\.\[([a-z0-9,]+)\]"', "\n".join(cell.source for cell in CODE))
    project = tomllib.loads((PATH.parents[1] / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    image = (PATH.parents[1] / "Dockerfile.gpu").read_text()
    (built,) = re.findall(r"^ARG EXTRAS=(.+)$", image, re.MULTILINE)
    assert set(extras.split(",")) == set(built.split(",")) - {"postgres"}
