"""The contract holds for any decoder, any rate, shared or separate memory tokens."""

import pytest
import torch
import torch.nn.functional as F

from clara_model import Clara
from clara_model.batches import collate

ARCHITECTURES = ["llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3_text"]


def rows(documents: list[str]) -> list[dict]:
    return [
        {"question": "Where is Heron Mills?", "docs": documents[:2], "answer": "the city of Kelso"},
        {"question": "Who?", "docs": documents[2:], "answer": "Tom"},
    ]


def widen(batch: dict[str, torch.Tensor], model: Clara, extra: int) -> dict[str, torch.Tensor]:
    """The same batch with more padding on the left."""
    fill = {"ids": model.tokenizer.pad_token_id, "mask": 0, "labels": -100}
    return {
        name: F.pad(value, (extra, 0), value=fill[name.rpartition("_")[2]])
        for name, value in batch.items()
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_left_padding_changes_nothing(tiny_clara, documents, architecture: str) -> None:
    model = tiny_clara(architecture)
    batch = collate(
        rows(documents), model.tokenizer, model.config, stage="stage2", generator_seed=0
    )
    near = model(stage="stage2", return_logits=True, **batch)
    far = model(stage="stage2", return_logits=True, **widen(batch, model, 13))
    assert far.loss.item() == pytest.approx(near.loss.item(), abs=1e-5)
    mask = batch["dec_attention_mask"].bool()
    torch.testing.assert_close(far.logits[:, 13:][mask], near.logits[mask], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_texts_are_those_of_the_decoder_itself(
    tiny_clara, documents, architecture: str
) -> None:
    # Against transformers' own forward and generate, once the memory rows are in its embedding.
    model = tiny_clara(architecture)
    model.embedding.weight.data.mul_(1.7)
    memory = model.compress_documents(documents[:2]).unsqueeze(0)
    batch = collate(
        rows(documents)[:1], model.tokenizer, model.config, stage="stage2", generator_seed=0
    )
    ids, mask = batch["dec_input_ids"], batch["dec_attention_mask"]
    with torch.no_grad(), model.adapters.using("decoder_adapter"):
        embeds = model.embedding.splice(ids, memory)
        ours = model.embedding.logits(model.hidden_states(embeds, mask))
        model.embedding.write_back()
        theirs = model.decoder(inputs_embeds=embeds, attention_mask=mask).logits
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        start = int((batch["labels"] == -100).sum())
        generated = model.decoder.generate(
            inputs_embeds=embeds[:, :start],
            attention_mask=mask[:, :start],
            do_sample=False,
            max_new_tokens=8,
        )
    text = model.tokenizer.decode(generated[0], skip_special_tokens=True)
    assert model.generate_from_memory(["Where is Heron Mills?"], memory, 8) == [text]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_memory_tokens_are_looked_up_as_the_decoder_would(tiny_clara, architecture: str) -> None:
    model = tiny_clara(architecture)
    model.embedding.weight.data.normal_()
    ids = torch.arange(len(model.tokenizer)).unsqueeze(0)
    ours = model.embedding(ids)
    table = model.decoder.get_input_embeddings()
    assert not torch.equal(ours, table(ids))
    model.embedding.write_back()
    torch.testing.assert_close(ours, table(ids))


@pytest.mark.parametrize("rate", [1, 2, 5, 24])
@pytest.mark.parametrize("different", [True, False], ids=["different", "shared"])
def test_any_rate_with_either_kind_of_memory_token(
    tiny_clara, documents, rate: int, different: bool
) -> None:
    model = tiny_clara(compr_rate=rate, different_mem_tokens=different)
    n = 24 // rate
    assert model.compress_documents(documents).shape == (4, n, 32)
    assert model.embedding.weight.shape == (n if different else 1, 32)
    batch = collate(
        rows(documents), model.tokenizer, model.config, stage="stage2", generator_seed=0
    )
    model(stage="stage2", **batch).loss.backward()
    assert (
        model.embedding.weight.grad.abs().min(dim=1).values.shape
        == model.embedding.weight.shape[:1]
    )
    assert model.embedding.weight.grad.abs().sum(dim=1).min() > 0


def test_bfloat16_runs_through_every_stage(tiny_clara, documents) -> None:
    model = tiny_clara(stage="stage3").to(torch.bfloat16)
    batch = collate(
        [
            {"question": "Who?", "docs": documents, "gold_answer": "Tom"},
            {"question": "Where?", "docs": documents, "gold_answer": "Kelso"},
        ],
        model.tokenizer,
        model.config,
        stage="stage3",
        generator_seed=0,
    )
    output = model(stage="stage3", return_logits=True, **batch)
    output.loss.backward()
    assert output.logits.dtype == torch.bfloat16
    assert (output.loss.dtype, output.scores.dtype) == (torch.float32, torch.float32)
    assert model.compress_documents(documents).dtype == torch.bfloat16
