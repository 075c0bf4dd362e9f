"""Both layouts, read, written, and read back."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from clara_model import Clara
from clara_model.weights import EMBEDDING, read_weights

FOLDERS = ["checkpoint", "checkpoint_stage3"]


@pytest.mark.parametrize("layout", ["safetensors", "ml-clara"])
@pytest.mark.parametrize("checkpoint", FOLDERS)
def test_every_weight_survives(case, checkpoint: str, layout: str, tmp_path: Path) -> None:
    source = case.folder / checkpoint
    case.load(checkpoint).save_pretrained(tmp_path / "copy", layout)
    adapters, embeddings = read_weights(source)
    copied_adapters, copied_embeddings = read_weights(tmp_path / "copy")
    assert copied_adapters.keys() == adapters.keys()
    for name, state in adapters.items():
        assert copied_adapters[name].keys() == state.keys()
        assert all(torch.equal(copied_adapters[name][key], state[key]) for key in state)
    assert torch.equal(copied_embeddings[EMBEDDING], embeddings[EMBEDDING])
    for key, value in copied_embeddings.items():
        assert torch.equal(value, embeddings[key])
    again = Clara.from_pretrained(tmp_path / "copy", dtype=case.facts["dtype"])
    documents = case.facts["compress"]["documents"]
    if checkpoint == "checkpoint":
        case.assert_close(again.compress_documents(documents), "compress.memory")


@pytest.mark.parametrize("checkpoint", FOLDERS)
def test_released_config_fields_survive(case, checkpoint: str, tmp_path: Path) -> None:
    case.load(checkpoint).save_pretrained(tmp_path / "copy", "ml-clara")
    before = json.loads((case.folder / checkpoint / "config.json").read_text())
    after = json.loads((tmp_path / "copy" / "config.json").read_text())
    before.pop("decoder_model_name")
    assert {key: after[key] for key in before} == before


def test_released_layout_holds_the_released_names(case, tmp_path: Path) -> None:
    case.load("checkpoint").save_pretrained(tmp_path / "copy", "ml-clara")
    for name in ("adapters.pth", "decoder_first_last_layers.pth"):
        before, after = (
            torch.load(folder / name, weights_only=True)
            for folder in (case.folder / "checkpoint", tmp_path / "copy")
        )
        assert before.keys() == after.keys()


def test_base_beside_the_checkpoint_moves_with_it(case, tmp_path: Path) -> None:
    shutil.copytree(case.folder / "base", tmp_path / "models" / "base")
    shutil.copytree(case.folder / "checkpoint", tmp_path / "models" / "stage1")
    Clara.from_pretrained(tmp_path / "models" / "stage1").save_pretrained(
        tmp_path / "models" / "stage2"
    )
    config = json.loads((tmp_path / "models" / "stage2" / "config.json").read_text())
    assert config["decoder_model_name"] == "base"
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    moved = Clara.from_pretrained(tmp_path / "elsewhere" / "stage2", dtype=case.facts["dtype"])
    documents = case.facts["compress"]["documents"]
    case.assert_close(moved.compress_documents(documents), "compress.memory")


@pytest.mark.parametrize("layout", ["safetensors", "ml-clara"])
@pytest.mark.parametrize("checkpoint", FOLDERS)
def test_rewritten_files_are_equal_to_the_byte(
    case, checkpoint: str, layout: str, tmp_path: Path
) -> None:
    case.load(checkpoint).save_pretrained(tmp_path / "once", layout)
    again = Clara.from_pretrained(tmp_path / "once", dtype=case.facts["dtype"])
    again.save_pretrained(tmp_path / "twice", layout)
    once, twice = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("once", "twice")
    )
    assert once == twice


def test_layouts_lead_to_each_other(case, tmp_path: Path) -> None:
    case.load("checkpoint_stage3").save_pretrained(tmp_path / "ours")
    ours = Clara.from_pretrained(tmp_path / "ours", dtype=case.facts["dtype"])
    ours.save_pretrained(tmp_path / "theirs", "ml-clara")
    released = torch.load(
        case.folder / "checkpoint_stage3" / "adapters.pth", map_location="cpu", weights_only=True
    )
    written = torch.load(tmp_path / "theirs" / "adapters.pth", weights_only=True)
    assert written.keys() == released.keys()
    for name, state in released.items():
        lora = {key: value for key, value in state.items() if ".lora_" in key}
        assert written[name].keys() == lora.keys()
        assert all(torch.equal(written[name][key], value) for key, value in lora.items())
