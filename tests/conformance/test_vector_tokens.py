"""Token ids and labels, made here from the vectors' texts; padding apart, they are exact."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clara_model.batches import collate
from clara_model.encoding import encode_documents, encode_example, load_tokenizer, slots
from clara_model.prompts import paraphrase_turn, render


def bare(ids: Tensor, mask: Tensor) -> list[list[int]]:
    return [row[m.bool()].tolist() for row, m in zip(ids, mask, strict=True)]


def assert_same_tokens(case, group: str, batch: dict[str, Tensor]) -> None:
    expected = case.inputs(group)
    assert batch.keys() == expected.keys()
    for part in {name.partition("_")[0] for name in expected} - {"labels"}:
        names = f"{part}_input_ids", f"{part}_attention_mask"
        assert bare(*(batch[n] for n in names)) == bare(*(expected[n] for n in names))
    assert bare(batch["labels"], batch["dec_attention_mask"]) == bare(
        expected["labels"], expected["dec_attention_mask"]
    )


def rows(case, group: str) -> list[dict[str, Any]]:
    """The vectors' examples in the form of our rows."""
    examples = case.facts[group]["examples"]
    return [e | {"answers": e["answer"], "gold_answer": e["answer"]} for e in examples]


@pytest.mark.parametrize(
    ("group", "stage"),
    [("stage1_qa", "stage1"), ("stage2_instruction", "stage2"), ("stage3", "stage3")],
)
def test_batches(case, group: str, stage: str) -> None:
    model = case.model(group)
    batch = collate(rows(case, group), model.tokenizer, model.config, stage=stage, generator_seed=0)
    assert_same_tokens(case, group, batch)


def test_paraphrase_batch_with_the_vectors_instructions(case) -> None:
    # The instructions are free wording, so those of the vectors are read out of the prompts.
    model, expected = case.before_stage3, case.inputs("stage1_paraphrase")
    tokenizer, slot = model.tokenizer, slots(model.config, 1)
    before, after = render(tokenizer, paraphrase_turn(slot, "@@")).split("@@")
    for i, example in enumerate(case.facts["stage1_paraphrase"]["examples"]):
        mask = expected["dec_attention_mask"][i].bool()
        ids, labels = expected["dec_input_ids"][i][mask], expected["labels"][i][mask]
        prompt = tokenizer.decode(ids[labels == -100])
        assert prompt.startswith(before)
        assert prompt.endswith(after)
        turn = paraphrase_turn(slot, prompt[len(before) : len(prompt) - len(after)])
        encoded = encode_example(turn, example["answer"][0], tokenizer)
        assert encoded.input_ids == ids.tolist()
        assert encoded.labels == labels.tolist()
    documents = [e["docs"][0] for e in case.facts["stage1_paraphrase"]["examples"]]
    assert encode_documents(documents, tokenizer, model.config) == bare(
        expected["enc_input_ids"], expected["enc_attention_mask"]
    )


def test_documents(case) -> None:
    model = case.before_stage3
    encoded = encode_documents(case.facts["compress"]["documents"], model.tokenizer, model.config)
    expected = (case.expected[f"compress.{name}"] for name in ("input_ids", "attention_mask"))
    assert encoded == bare(*expected)


def test_compressed_documents(case) -> None:
    model = case.before_stage3
    memory = model.compress_documents(case.facts["compress"]["documents"], batch_size=4)
    case.assert_close(memory, "compress.memory")
    with torch.no_grad():
        memory, mse = model.compress(
            case.expected["compress.input_ids"], case.expected["compress.attention_mask"]
        )
    case.assert_close(memory, "compress.memory")
    assert mse.item() == pytest.approx(
        case.expected["compress.mse_loss"].item(), abs=case.tolerance(1e-5)
    )


def test_tokenizer_without_the_model(case) -> None:
    model = case.before_stage3
    alone = load_tokenizer(str(case.folder / "base"), model.config)
    assert alone.get_vocab() == model.tokenizer.get_vocab()
