"""The exported folder, where this project is not installed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from without_project import call_exported

from clara_model import Clara
from clara_model import prompts as ours
from clara_model.modeling.adapters import DECODER, ENCODER, QUERY_REASONER
from clara_model.remote import modeling_clara as theirs
from clara_model.remote.folder import CODE

QUESTIONS = ["Where is Heron <MEM1> Mills?", "Who is Tom Ash?"]


def randomise(model: Clara) -> Clara:
    """Memory tokens that were trained, so that their rows matter."""
    generator = torch.Generator().manual_seed(2)
    model.embedding.weight.data.normal_(std=0.3, generator=generator)
    return model


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("qwen3", {"tie_word_embeddings": True}),
        ("mistral", {"tie_word_embeddings": False, "lora_alpha": 3, "compr_rate": 5}),
        pytest.param(
            "gemma2", {"different_mem_tokens": False, "sep": False}, marks=pytest.mark.slow
        ),
    ],
    ids=["tied", "untied", "shared-memory-token"],
)
def test_every_call_gives_the_projects_own_results(
    tiny_clara, documents, tmp_path: Path, architecture: str, options: dict
) -> None:
    model = randomise(tiny_clara(architecture, stage="stage3", **options))
    model.save_pretrained(tmp_path / "model", "auto-model")
    lists = [documents, documents[1:]]
    pairs = [documents[:2], documents[2:]]
    ask = {"questions": QUESTIONS, "max_new_tokens": 8}
    texts, tensors = call_exported(
        tmp_path / "model",
        {
            "compress_documents": {"documents": documents},
            "represent_queries": {"questions": QUESTIONS},
            "generate_from_text": ask | {"documents": lists},
            "generate_from_questions": ask | {"documents": lists},
            "generate_from_paraphrase": ask | {"questions": ["", "Anew!"], "documents": lists},
            "generate_from_memory": ask | {"compress": pairs},
        },
        tmp_path / "scratch",
    )
    torch.testing.assert_close(tensors["compress_documents"], model.compress_documents(documents))
    torch.testing.assert_close(tensors["represent_queries"], model.represent_queries(QUESTIONS))
    answers, index = model.generate_from_questions(QUESTIONS, lists, 8)
    assert torch.equal(tensors["generate_from_questions"], index)
    memory = torch.stack([model.compress_documents(pair) for pair in pairs])
    assert texts == {
        "generate_from_text": model.generate_from_text(QUESTIONS, lists, 8),
        "generate_from_questions": answers,
        "generate_from_paraphrase": model.generate_from_paraphrase(["", "Anew!"], lists, 8),
        "generate_from_memory": model.generate_from_memory(QUESTIONS, memory, 8),
    }


def test_exported_folder_is_a_checkpoint_that_carries_its_base(
    tiny_clara, documents, tmp_path: Path
) -> None:
    model = randomise(tiny_clara(stage="stage3"))
    model.save_pretrained(tmp_path / "model", "auto-model")
    shutil.move(tmp_path / "model", tmp_path / "elsewhere")
    again = Clara.from_pretrained(tmp_path / "elsewhere")
    assert again.base_path == tmp_path / "elsewhere" / "base"
    assert torch.equal(again.compress_documents(documents), model.compress_documents(documents))
    again.save_pretrained(tmp_path / "elsewhere", "auto-model")  # in place, with its base inside
    assert (tmp_path / "elsewhere" / "base" / "model.safetensors").is_file()
    Clara.from_pretrained(tmp_path / "elsewhere")


def test_base_from_the_hub_is_named_not_copied(tiny_clara, tmp_path: Path) -> None:
    model = tiny_clara()
    model.base_path, model.config.decoder_model_name = None, "someone/decoder"
    model.save_pretrained(tmp_path / "model", "auto-model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "adapters.safetensors",
        "config.json",
        "decoder_first_last_layers.safetensors",
        CODE.name,
    ]
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["decoder_model_name"] == "someone/decoder"
    assert config["auto_map"]["AutoModel"] == f"{CODE.stem}.{theirs.CLaRa.__name__}"


def test_wording_is_the_projects() -> None:
    assert theirs.ANSWER == ours.SYSTEM_ANSWER
    assert theirs.PARAPHRASE == ours.SYSTEM_PARAPHRASE
    assert ours.PARAPHRASE_INSTRUCTIONS[0] == theirs.INSTRUCTION
    assert (theirs.ENCODER, theirs.DECODER, theirs.REASONER) == (ENCODER, DECODER, QUERY_REASONER)


def test_weights_trained_beside_lora_come_along(tiny_clara, documents, tmp_path: Path) -> None:
    model = tiny_clara()
    model.extra.add([r"norm"])
    for _, parameter in model.extra.parameters():
        parameter.data.mul_(1.5)
    model.save_pretrained(tmp_path / "model", "auto-model")
    memory = theirs.CLaRa.from_pretrained(tmp_path / "model").compress_documents(documents)
    torch.testing.assert_close(memory, model.compress_documents(documents))


def test_saving_again_copies_the_folder(tiny_clara, documents, tmp_path: Path) -> None:
    tiny_clara().save_pretrained(tmp_path / "model", "auto-model")
    model = theirs.CLaRa.from_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "copy")
    again = theirs.CLaRa.from_pretrained(tmp_path / "copy")
    assert torch.equal(again.compress_documents(documents), model.compress_documents(documents))


def test_bad_requests_say_what_is_wrong(tiny_clara, documents, tmp_path: Path) -> None:
    tiny_clara(stage="stage2").save_pretrained(tmp_path / "model", "auto-model")
    model = theirs.CLaRa.from_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="no query_reasoner_adapter"):
        model.represent_queries(QUESTIONS)
    with pytest.raises(ValueError, match="every text must hold something"):
        model.compress_documents(["Kelso", " "])
    with pytest.raises(ValueError, match="at least one document"):
        model.generate_from_text(QUESTIONS, [documents, []])
    with pytest.raises(ValueError, match="at least one document"):
        model.generate_from_text(QUESTIONS, [documents])
    with pytest.raises(ValueError, match="questions, documents, n, H"):
        model.generate_from_memory(QUESTIONS, model.compress_documents(documents))
    with pytest.raises(ValueError, match="generation_top_k=2"):
        model.generate_from_questions(QUESTIONS, [documents, documents[:1]])
