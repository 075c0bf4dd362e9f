import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clara_model import Clara
from clara_model.errors import CheckpointError, ConfigError
from clara_model.weights import read_weights

LAYOUTS = ["safetensors", "ml-clara"]


def parameters(model: Clara) -> dict[str, torch.Tensor]:
    model.embedding.write_back()
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_trained_memory_rows_and_adapters_come_back(
    tiny_clara, documents, tmp_path: Path, layout: str, tied: bool
) -> None:
    model = tiny_clara(stage="stage3", tie_word_embeddings=tied)
    model.embedding.weight.data.normal_()
    model.save_pretrained(tmp_path / "saved", layout)
    again = Clara.from_pretrained(tmp_path / "saved")
    before, after = parameters(model), parameters(again)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (again.config.stage, again.training) == ("stage3", False)
    assert [n for n, _ in again.trainable_parameters()] == [
        n for n, _ in model.trainable_parameters()
    ]
    assert torch.equal(again.compress_documents(documents), model.compress_documents(documents))


def test_dtype_is_the_callers_choice(tiny_clara, tmp_path: Path) -> None:
    tiny_clara().save_pretrained(tmp_path / "saved")
    again = Clara.from_pretrained(tmp_path / "saved", dtype="bfloat16", device="cpu")
    assert {value.dtype for value in again.parameters()} == {torch.bfloat16}


def test_embeddings_beside_an_adapter_are_used_where_their_file_is_missing(
    tiny_clara, tmp_path: Path
) -> None:
    model = tiny_clara(tie_word_embeddings=False)
    folder = tmp_path / "saved"
    model.save_pretrained(folder, "ml-clara")
    adapters = torch.load(folder / "adapters.pth", weights_only=True)
    embeddings = torch.load(folder / "decoder_first_last_layers.pth", weights_only=True)
    (folder / "decoder_first_last_layers.pth").unlink()
    adapters["decoder_adapter"] |= embeddings
    torch.save(adapters, folder / "adapters.pth")
    before, after = parameters(model), parameters(Clara.from_pretrained(folder))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_saving_again_replaces_and_leaves_nothing_beside(tiny_clara, tmp_path: Path) -> None:
    model = tiny_clara()
    model.save_pretrained(tmp_path / "saved")
    model.embedding.weight.data.fill_(0.25)
    model.save_pretrained(tmp_path / "saved", "ml-clara")
    assert os.listdir(tmp_path) == ["saved"]
    assert sorted(os.listdir(tmp_path / "saved")) == [
        "adapters.pth",
        "config.json",
        "decoder_first_last_layers.pth",
    ]
    assert (Clara.from_pretrained(tmp_path / "saved").embedding.weight == 0.25).all()


def test_failed_save_keeps_the_older_checkpoint(tiny_clara, tmp_path: Path, monkeypatch) -> None:
    model = tiny_clara()
    model.save_pretrained(tmp_path / "saved")

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("clara_model.checkpoint.write_weights", full_disk)
    with pytest.raises(OSError, match="no space"):
        model.save_pretrained(tmp_path / "saved")
    assert os.listdir(tmp_path) == ["saved"]
    Clara.from_pretrained(tmp_path / "saved")


def test_folder_of_something_else_is_not_overwritten(tiny_clara, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="something else than a checkpoint"):
        tiny_clara().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="layout is 'zip'"):
        tiny_clara().save_pretrained(tmp_path / "new", "zip")


class Harmful:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("harmed",))


def test_pickled_code_is_never_run(tiny_clara, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_clara().save_pretrained("saved", "ml-clara")
    Path("saved/adapters.pth").write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises(CheckpointError, match=r"adapters\.pth cannot be read"):
        Clara.from_pretrained("saved")
    assert not Path("harmed").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cut_off_file_is_named(tiny_clara, tmp_path: Path, layout: str) -> None:
    tiny_clara().save_pretrained(tmp_path / "saved", layout)
    (path,) = (tmp_path / "saved").glob("adapters.*")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=f"{path.name} cannot be read: it is cut off"):
        Clara.from_pretrained(tmp_path / "saved")


def test_missing_parts_are_named(tiny_clara, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    tiny_clara().save_pretrained(folder)
    adapters = load_file(folder / "adapters.safetensors")
    save_file(
        {k: v for k, v in adapters.items() if k.startswith("encoder")},
        folder / "adapters.safetensors",
    )
    with pytest.raises(CheckpointError, match="has no decoder_adapter"):
        read_weights(folder)
    save_file(adapters, folder / "adapters.safetensors")
    (folder / "decoder_first_last_layers.safetensors").unlink()
    with pytest.raises(CheckpointError, match="which holds the memory tokens"):
        read_weights(folder)
    (folder / "adapters.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no adapters\.safetensors or adapters\.pth"):
        read_weights(folder)


def test_another_bases_checkpoint_is_refused(tiny_clara, tiny_base, tmp_path: Path) -> None:
    tiny_clara().save_pretrained(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="another base model"):
        Clara.from_pretrained(
            tmp_path / "saved", tiny_base(num_hidden_layers=3, tie_word_embeddings=True)
        )
    with pytest.raises(CheckpointError, match="another base model"):
        Clara.from_pretrained(
            tmp_path / "saved", tiny_base(hidden_size=48, tie_word_embeddings=True)
        )
    with pytest.raises(CheckpointError, match=r"no lm_head\.weight"):
        Clara.from_pretrained(tmp_path / "saved", tiny_base(tie_word_embeddings=False))
    with pytest.raises(CheckpointError, match="cannot load the base model"):
        Clara.from_pretrained(tmp_path / "saved", tmp_path / "nowhere")


def test_other_number_of_memory_tokens_is_refused(tiny_clara, tmp_path: Path) -> None:
    tiny_clara().save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"compr_rate": 1}))
    with pytest.raises(CheckpointError, match="check the base model, doc_max_length, compr_rate"):
        Clara.from_pretrained(tmp_path / "saved")


def test_checkpoint_without_a_base_name_asks_for_one(tiny_clara, tiny_base, tmp_path: Path) -> None:
    tiny_clara().save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decoder_model_name": ""}))
    with pytest.raises(CheckpointError, match="give base_model yourself"):
        Clara.from_pretrained(tmp_path / "saved")
    Clara.from_pretrained(tmp_path / "saved", tiny_base(tie_word_embeddings=True))


def carry(folder: Path, copies: dict[str, torch.Tensor]) -> None:
    """Put tensors beside the decoder adapter's, as some writers do."""
    adapters = torch.load(folder / "adapters.pth", weights_only=True)
    adapters["decoder_adapter"] |= copies
    torch.save(adapters, folder / "adapters.pth")


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_older_copies_of_embeddings_beside_an_adapter_are_not_used(
    tiny_clara, tmp_path: Path, tied: bool
) -> None:
    model = tiny_clara(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path / "saved", "ml-clara")
    old = torch.zeros(len(model.tokenizer), 32)
    carry(tmp_path / "saved", {"model.embed_tokens.weight": old, "lm_head.weight": old})
    before, after = parameters(model), parameters(Clara.from_pretrained(tmp_path / "saved"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_output_embedding_beside_an_adapter_fills_a_file_without_one(
    tiny_clara, tmp_path: Path
) -> None:
    model = tiny_clara(tie_word_embeddings=False)
    folder = tmp_path / "saved"
    model.save_pretrained(folder, "ml-clara")
    embeddings = torch.load(folder / "decoder_first_last_layers.pth", weights_only=True)
    carry(folder, dict(embeddings))
    del embeddings["lm_head.weight"]
    torch.save(embeddings, folder / "decoder_first_last_layers.pth")
    before, after = parameters(model), parameters(Clara.from_pretrained(folder))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_weights_that_nothing_reads_are_refused_not_dropped(tiny_clara, tmp_path: Path) -> None:
    tiny_clara().save_pretrained(tmp_path / "saved", "ml-clara")
    carry(tmp_path / "saved", {"model.norm.weight": torch.ones(32)})
    with pytest.raises(CheckpointError, match=r"decoder_adapter holds model\.norm\.weight"):
        Clara.from_pretrained(tmp_path / "saved")
    torch.save({"model.norm.weight": torch.ones(32)}, tmp_path / "saved" / "adapters.pth")
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight is no adapter"):
        Clara.from_pretrained(tmp_path / "saved")


def test_stage3_without_its_query_reasoner_is_refused(tiny_clara, tmp_path: Path) -> None:
    tiny_clara(stage="stage3").save_pretrained(tmp_path / "saved", "ml-clara")
    path = tmp_path / "saved" / "adapters.pth"
    adapters = torch.load(path, weights_only=True)
    del adapters["query_reasoner_adapter"]
    torch.save(adapters, path)
    with pytest.raises(CheckpointError, match=r"no query_reasoner_adapter .*stage 2"):
        Clara.from_pretrained(tmp_path / "saved")


def test_fresh_model_of_stage3_has_its_query_reasoner(
    tiny_base, tiny_config, tmp_path: Path
) -> None:
    model = Clara.from_base(tiny_base(), tiny_config(stage="stage3"))
    model.save_pretrained(tmp_path / "saved")
    again = Clara.from_pretrained(tmp_path / "saved")
    assert sorted(again.adapters.names) == sorted(model.adapters.names)
    assert "query_reasoner_adapter" in model.adapters.names
