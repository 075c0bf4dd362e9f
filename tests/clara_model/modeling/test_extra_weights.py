"""Weights trained beside LoRA, and which layers carry LoRA."""

import pytest
import torch

from clara_model import Clara
from clara_model.batches import collate
from clara_model.errors import CheckpointError, ConfigError
from clara_model.memory import compressor_hash
from clara_model.weights import EXTRA_FILE, read_extra

NORMS = {f"model.layers.{i}.{name}_layernorm.weight" for i in (0, 1)
         for name in ("input", "post_attention")} | {"model.norm.weight"}  # fmt: skip


def _step(model: Clara, stage: str, documents: list[str]) -> set[str]:
    """Train one step; returns the released names of what moved in the decoder."""
    rows = [{"question": "Who?", "docs": documents, "answer": "Tom", "gold_answer": "Tom"}] * 2
    batch = collate(rows, model.tokenizer, model.config, stage=stage, generator_seed=0)
    before = {name: p.detach().clone() for name, p in model.decoder.named_parameters()}
    optimizer = torch.optim.AdamW([p for _, p in model.trainable_parameters()], lr=0.1)
    model(stage=stage, **batch).loss.backward()
    optimizer.step()
    return {
        name.replace(".base_layer.", ".")
        for name, p in model.decoder.named_parameters()
        if ".lora_" not in name and not torch.equal(p, before[name])
    }


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_chosen_weights_are_trained_beside_lora(tiny_clara, documents, stage: str) -> None:
    model = tiny_clara()
    model.extra.add(["norm", r"layers\.1\.mlp\.down_proj"])
    model.prepare_stage(stage)
    expected = NORMS | {"model.layers.1.mlp.down_proj.weight"}
    assert set(model.extra.state()) == expected
    assert _step(model, "stage2", documents) == expected


def test_stage3_leaves_them_as_they_are(tiny_clara, documents) -> None:
    model = tiny_clara()
    model.extra.add(["norm"])
    model.prepare_stage("stage3")
    assert _step(model, "stage3", documents) == set()


def test_they_survive_the_file_and_decide_memories(tiny_clara, documents, tmp_path) -> None:
    model = tiny_clara()
    plain = compressor_hash(model)
    model.extra.add(["norm", "down_proj"])
    model.prepare_stage("stage1")
    chosen = compressor_hash(model)
    _step(model, "stage2", documents)
    assert len({plain, chosen, compressor_hash(model)}) == 3
    model.save_pretrained(tmp_path / "checkpoint")
    again = Clara.from_pretrained(tmp_path / "checkpoint")
    assert set(read_extra(tmp_path / "checkpoint")) == set(model.extra.names)
    assert compressor_hash(again) == compressor_hash(model)
    assert torch.equal(again.compress_documents(documents), model.compress_documents(documents))
    assert {n for n, _ in again.trainable_parameters()} == {
        n for n, _ in model.trainable_parameters()
    }


def test_a_model_without_them_writes_no_file(tiny_clara, tmp_path) -> None:
    tiny_clara().save_pretrained(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint" / EXTRA_FILE).exists()


def test_the_released_layout_has_no_place_for_them(tiny_clara, tmp_path) -> None:
    model = tiny_clara()
    model.extra.add(["norm"])
    with pytest.raises(ConfigError, match=r"ml-clara has no place .*use the layout safetensors"):
        model.save_pretrained(tmp_path / "checkpoint", "ml-clara")
    assert not (tmp_path / "checkpoint").exists()


def test_patterns_that_cannot_be_meant_are_refused(tiny_clara) -> None:
    extra = tiny_clara().extra
    with pytest.raises(ConfigError, match=r"'nrom' matches no weight .*like .*mlp\.down_proj"):
        extra.add(["norm", "nrom"])
    with pytest.raises(ConfigError, match=r"'\(' is no regular expression"):
        extra.add(["("])
    with pytest.raises(ConfigError, match="matches no weight"):
        extra.add(["lora_A"])
    with pytest.raises(CheckpointError, match=r"norm\.weight of shape \(3,\).*one of \(32,\)"):
        extra.load_state({"model.norm.weight": torch.zeros(3)})


def test_quantized_weights_cannot_be_trained(tiny_clara) -> None:
    model = tiny_clara()
    layer = model.decoder.model.layers[0].mlp.down_proj.base_layer
    layer.weight = torch.nn.Parameter(layer.weight.data.to(torch.int8), requires_grad=False)
    with pytest.raises(ConfigError, match=r"layers\.0\.mlp\.down_proj\.weight is quantized"):
        model.extra.add(["down_proj"])


def test_lora_acts_on_the_named_layers_only(tiny_base, tiny_config) -> None:
    config = tiny_config(lora_targets=["q_proj", "mlp.down_proj"])
    model = Clara.from_base(tiny_base(), config)
    names = {key.split(".")[-3] for key in model.adapters.state("encoder_adapter")}
    assert names == {"q_proj", "down_proj"}


@pytest.mark.parametrize("targets", [["q_proj", "w_pack"], ["proj"], []])
def test_unknown_lora_targets_are_named_with_those_there_are(
    tiny_base, tiny_config, targets: list[str]
) -> None:
    with pytest.raises(ConfigError, match=r"lora_targets: .*has down_proj, gate_proj, k_proj"):
        Clara.from_base(tiny_base(), tiny_config(lora_targets=targets))
