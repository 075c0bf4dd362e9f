"""What a step computes and keeps: heads, layers, chunks, compiled layers."""

import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from clara_model import Clara
from clara_model.batches import collate


def _batch(model: Clara, documents: list[str], stage: str = "stage2") -> dict[str, torch.Tensor]:
    answers = {"answer": "the city of Kelso", "gold_answer": "the city of Kelso"}
    rows = [{"question": q, "docs": documents, **answers} for q in ("Where is it?", "Who?")]
    return collate(rows, model.tokenizer, model.config, stage=stage, generator_seed=0)


def _gradients(model: Clara, stage: str, batch: dict[str, torch.Tensor]) -> dict:
    model.zero_grad()
    output = model(stage=stage, **batch)
    output.loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.trainable_parameters() if p.grad is not None}
    return gradients | {"loss": output.loss.detach()}


def _assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_chunks_give_memory_tokens_the_same_gradients(
    tiny_clara, documents, architecture: str, tied: bool
) -> None:
    model = tiny_clara(architecture, tie_word_embeddings=tied)
    batch = _batch(model, documents)
    # Labelled everywhere, so that memory tokens are predicted as well.
    batch["labels"] = batch["dec_input_ids"].clone()
    whole = _gradients(model, "stage2", batch)
    model.loss_chunk = 16
    _assert_same(whole, _gradients(model, "stage2", batch))


def test_the_head_sees_labelled_positions_of_the_generator_only(tiny_clara, documents) -> None:
    model = tiny_clara()
    model.loss_chunk = 4
    rows: list[int] = []
    model.decoder.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: rows.append(inputs[0].numel() // inputs[0].shape[-1])
    )
    batch = _batch(model, documents)
    with torch.no_grad():
        model(stage="stage2", **batch)
    assert sum(rows) == int((batch["labels"][:, 1:] != -100).sum())
    assert max(rows) <= 4
    rows.clear()
    model.compress_documents(documents)
    assert not rows


def test_hidden_states_of_other_layers_are_not_kept(tiny_clara, documents) -> None:
    model = tiny_clara()
    outputs: list = []
    model.decoder.base_model.register_forward_hook(lambda m, i, output: outputs.append(output))
    model(stage="stage2", **_batch(model, documents))
    assert len(outputs) == 2  # compressor and generator
    for output in outputs:
        assert (output.hidden_states, output.attentions, output.past_key_values) == (None,) * 3


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")),
                    reason="inductor needs a C++ compiler")  # fmt: skip
@pytest.mark.slow
def test_compiled_layers_give_the_same_loss_without_endless_recompiling(
    tiny_clara, documents
) -> None:
    plain, compiled = (tiny_clara(lora_dropout=0.0) for _ in range(2))
    # In either order: checkpointing stays around the graphs.
    compiled.compile_decoder()
    compiled.enable_gradient_checkpointing()
    for model in (plain, compiled):
        model.train()
    batches = [_batch(plain, documents[:n]) for n in (4, 2)]
    counters.clear()
    for step, batch in enumerate([*batches, *batches]):
        if step == len(batches):
            graphs = counters["stats"]["unique_graphs"]
        _assert_same(_gradients(plain, "stage2", batch), _gradients(compiled, "stage2", batch))
    assert counters["stats"]["unique_graphs"] == graphs
    # For each of two adapters a graph or two, which the layers share.
    assert graphs <= 4
    questions, memory = ["Who?"], compiled.compress_documents(documents[:2]).unsqueeze(0)
    answers = [m.generate_from_memory(questions, memory, 6) for m in (plain, compiled)]
    assert answers[0] == answers[1]
    assert counters["stats"]["unique_graphs"] == graphs
