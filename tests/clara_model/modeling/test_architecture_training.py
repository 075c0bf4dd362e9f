"""Decoders of every family load, learn, are saved and loaded, and answer."""

from pathlib import Path

import pytest
import torch

from clara_model import Clara
from clara_model.batches import collate
from clara_model.encoding import memory_tokens

LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0, 1.1, 1.2],
    "long_factor": [1.0, 2.0, 4.0],
    "original_max_position_embeddings": 4096,
}
FAMILIES = {
    "mistral": ("mistral", {"tie_word_embeddings": False}),
    "mistral-sliding": ("mistral", {"tie_word_embeddings": False, "sliding_window": 16}),
    "llama": ("llama", {"tie_word_embeddings": True}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"tie_word_embeddings": True}),
    "phi3": ("phi3", {"tie_word_embeddings": False}),
    "phi4-mini": ("phi3", {"tie_word_embeddings": True, "rope_parameters": LONGROPE}),
    "gemma": ("gemma", {"tie_word_embeddings": True}),
    "gemma2": ("gemma2", {"tie_word_embeddings": True, "sliding_window": 16}),
    "gemma3": ("gemma3_text", {"tie_word_embeddings": True, "sliding_window": 16}),
}
QUESTIONS = ["Where is Heron Mills?", "Who?"]


def pretrain_batch(model: Clara, documents: list[str]) -> dict[str, torch.Tensor]:
    rows = [
        {"data_type": "qa", "question": ["Who?"], "answers": [text.split()[0]], "docs": [text]}
        for text in documents
    ]
    return collate(rows, model.tokenizer, model.config, stage="stage1", generator_seed=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_family_learns_is_saved_and_answers(
    tiny_base, tiny_config, documents, tmp_path: Path, family: str
) -> None:
    architecture, options = FAMILIES[family]
    torch.manual_seed(0)
    model = Clara.from_base(tiny_base(architecture, **options), tiny_config(lora_dropout=0.0))
    assert model.embedding.is_tied == options["tie_word_embeddings"]
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for _, p in model.trainable_parameters()], lr=1e-2)
    batch = pretrain_batch(model, documents)
    losses = []
    for _ in range(6):
        loss = model(stage="stage1", **batch).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.95 * losses[0]
    moved = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    assert moved == {name for name, _ in model.trainable_parameters()}

    model.prepare_stage("stage3")
    model.save_pretrained(tmp_path / "saved")
    again = Clara.from_pretrained(tmp_path / "saved")
    after = dict(again.named_parameters())
    model.embedding.write_back()
    assert all(torch.equal(value, after[name]) for name, value in model.named_parameters())
    assert (
        again.generate_from_questions(QUESTIONS, [documents] * 2, 6)[0]
        == (model.generate_from_questions(QUESTIONS, [documents] * 2, 6)[0])
    )


@pytest.mark.parametrize("family", ["mistral-sliding", "gemma2", "gemma3", "phi4-mini"])
def test_padding_beside_a_longer_prompt_changes_no_answer(
    tiny_base, tiny_config, documents, family: str
) -> None:
    # Prompts are longer than the windows, so both window and padding decide what is attended to.
    architecture, options = FAMILIES[family]
    model = Clara.from_base(tiny_base(architecture, **options), tiny_config())
    for _, parameter in model.adapters.parameters("decoder_adapter"):
        parameter.data.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    lists = [documents, documents[:1]]
    together = model.generate_from_text(QUESTIONS, lists, 12)
    alone = [
        model.generate_from_text([q], [d], 12)[0] for q, d in zip(QUESTIONS, lists, strict=True)
    ]
    assert together == alone


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_bfloat16_from_start_to_finish(
    tiny_base, tiny_config, documents, tmp_path: Path, tied: bool
) -> None:
    # bfloat16 keeps 8 bits, so 0.4 % a rounding; 5 % of the largest value after two layers.
    base = tiny_base(tie_word_embeddings=tied)
    config = tiny_config(lora_dropout=0.0)
    exact, half = Clara.from_base(base, config), Clara.from_base(base, config, dtype="bfloat16")
    memory = exact.compress_documents(documents)
    error = (half.compress_documents(documents).float() - memory).abs().max()
    assert error < 0.05 * memory.abs().max()
    batch = pretrain_batch(half, documents)
    half.train()
    loss = half(stage="stage1", **batch).loss
    assert loss.item() == pytest.approx(exact(stage="stage1", **batch).loss.item(), rel=0.05)
    optimizer = torch.optim.AdamW([p for _, p in half.trainable_parameters()], lr=1e-2)
    loss.backward()
    optimizer.step()
    assert all(p.grad.dtype == torch.bfloat16 for _, p in half.trainable_parameters())
    assert half(stage="stage1", **batch).loss < loss
    for layout in ("safetensors", "ml-clara", "auto-model"):
        half.save_pretrained(tmp_path / layout, layout)
        again = Clara.from_pretrained(tmp_path / layout, dtype="bfloat16")
        after = dict(again.named_parameters())
        half.embedding.write_back()
        assert all(torch.equal(value, after[name]) for name, value in half.named_parameters())
        answers = again.generate_from_text(QUESTIONS, [documents] * 2, 6)
        assert answers == half.generate_from_text(QUESTIONS, [documents] * 2, 6)


def test_one_shared_memory_token_gets_the_gradient_of_all_its_places(
    tiny_base, tiny_config, documents
) -> None:
    base = tiny_base(tie_word_embeddings=False)
    apart = Clara.from_base(base, tiny_config(lora_dropout=0.0))
    shared = Clara.from_base(base, tiny_config(lora_dropout=0.0, different_mem_tokens=False))
    assert set(memory_tokens(shared.config)) == {"<MEM>"}
    apart.embedding.weight.data.copy_(shared.embedding.weight.expand(4, -1))
    # The other own tokens' rows were drawn apart, too.
    tokens = ["<AE>", "<ENC>", "<SEP>"]
    ours, theirs = (m.tokenizer.convert_tokens_to_ids(tokens) for m in (apart, shared))
    table = shared.decoder.get_input_embeddings().weight.data
    apart.decoder.get_input_embeddings().weight.data[ours] = table[theirs]
    losses = []
    for model in (apart, shared):
        output = model(stage="stage1", **pretrain_batch(model, documents))
        # The output embedding has other columns, so only the compressor's loss is the same.
        output.mse_loss.backward()
        losses.append(output.mse_loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    torch.testing.assert_close(
        apart.embedding.weight.grad.sum(dim=0, keepdim=True),
        shared.embedding.weight.grad,
        rtol=1e-4,
        atol=1e-6,
    )
