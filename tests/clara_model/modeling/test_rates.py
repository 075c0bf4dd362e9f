"""Every rate the paper and its users ask for, and lengths that the rate does not divide."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from clara_model import Clara
from clara_model.batches import collate
from configs.schema import ModelSettings

LONG = "Ada Lark was born in the city of Orford, and Tom Ash in Salford. " * 40
MEMORY_TOKENS = {1: 256, 2: 128, 4: 64, 8: 32, 16: 16, 32: 8, 64: 4, 128: 2, 256: 1}


@pytest.mark.parametrize("rate", MEMORY_TOKENS)
def test_every_rate_of_256_tokens(tiny_base, tiny_config, rate: int, tmp_path: Path) -> None:
    n = MEMORY_TOKENS[rate]
    config = tiny_config(doc_max_length=256, compr_rate=rate)
    model = Clara.from_base(tiny_base(num_hidden_layers=1), config)
    model.prepare_stage("stage3")
    assert len(model.decoder.get_input_embeddings().weight) == 300 + n + 3
    assert model.embedding.weight.shape == (n, 32)
    documents = [LONG, "Short one."]
    assert model.compress_documents(documents).shape == (2, n, 32)
    row = {"question": "Where?", "docs": documents, "gold_answer": "Orford"}
    batch = collate([row], model.tokenizer, model.config, stage="stage3", generator_seed=0)
    assert batch["enc_input_ids"].shape == (2, 256 + 3 + n)
    assert int(model.embedding.is_memory(batch["dec_input_ids"]).sum()) == 2 * n
    output = model(stage="stage3", **batch)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    answers, index = model.generate_from_questions(["Where?"], [documents], 2)
    model.save_pretrained(tmp_path / "saved", "ml-clara")
    again = Clara.from_pretrained(tmp_path / "saved")
    assert again.generate_from_questions(["Where?"], [documents], 2)[0] == answers
    assert sorted(index[0].tolist()) == [0, 1]


@pytest.mark.parametrize(("length", "rate", "n"), [(100, 32, 3), (24, 7, 3), (5, 3, 1)])
def test_a_remainder_is_dropped(
    tiny_base, tiny_config, tmp_path: Path, length: int, rate: int, n: int
) -> None:
    config = tiny_config(doc_max_length=length, compr_rate=rate)
    model = Clara.from_base(tiny_base(num_hidden_layers=1), config)
    assert model.compress_documents([LONG]).shape == (1, n, 32)
    model.save_pretrained(tmp_path / "saved")
    again = Clara.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.compress_documents([LONG]), model.compress_documents([LONG]))


def test_a_pipelines_configuration_refuses_a_remainder() -> None:
    with pytest.raises(ValidationError, match="doc_max_length 100 is not a multiple of"):
        ModelSettings(doc_max_length=100, compr_rate=32)
