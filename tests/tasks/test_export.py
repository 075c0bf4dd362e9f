"""Exported folders stand alone, in every layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from clara_model import Clara
from clara_model.errors import CheckpointError, ConfigError
from tasks.export import Layout, export_model
from tasks.workspace import Workspace

DOCUMENTS = ["The seat of Heron Mills is the city of Kelso.", "Tom Ash is a potter."]


@pytest.fixture
def workspace(tmp_path: Path, shared: Path) -> Workspace:
    """A workspace with a base and a model of stage 3."""
    found = Workspace(tmp_path / "workspace")
    case = shared / "conformance" / "mistral_cr8"
    shutil.copytree(case / "base", found.models / "base")
    shutil.copytree(case / "checkpoint_stage3", found.models / "stage3")
    return found


@pytest.mark.parametrize("layout", ["safetensors", "ml-clara", "auto-model"])
def test_exported_model_needs_nothing_of_its_workspace(
    workspace: Workspace, tmp_path: Path, layout: Layout
) -> None:
    expected = Clara.from_pretrained(workspace.models / "stage3").compress_documents(DOCUMENTS)
    path = export_model(workspace, "stage3", tmp_path / "exported", layout)
    shutil.rmtree(workspace.root)
    shutil.move(tmp_path / "exported", tmp_path / "moved")
    model = Clara.from_pretrained(tmp_path / "moved" / path.relative_to(tmp_path / "exported"))
    assert torch.equal(model.compress_documents(DOCUMENTS), expected)
    assert ((tmp_path / "moved" / "modeling_clara.py").is_file()) == (layout == "auto-model")


def test_untrained_stages_and_present_folders_are_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint; `clara train stage1` makes it"):
        export_model(workspace, "stage1", tmp_path / "exported", "auto-model")
    (tmp_path / "exported").mkdir()
    with pytest.raises(ConfigError, match="exists; name a folder that does not"):
        export_model(workspace, "stage3", tmp_path / "exported", "auto-model")
