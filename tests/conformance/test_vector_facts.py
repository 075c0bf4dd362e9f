"""What a case says about itself agrees with what was loaded, and no fact goes unused."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

# Facts that the tests beside this one compare with, by their path in cases.json.
USED = re.compile(
    r"arch|compr_rate|doc_max_length|generation_top_k|n_candidates|lora_r|dtype"
    r"|compress\.documents"
    r"|(stage1_qa|stage1_paraphrase|stage2_instruction|stage3)\.(loss|mse_loss|mse_weight"
    r"|grad_norm\.(embed_other|(en|de)coder_adapter|query_reasoner_adapter)|temperature"
    r"|examples\.(docs|question|answer|data_type|pos_index))"
    r"|topk\.(k|temperature)"
    r"|generate_from_(questions|text)\.(questions|documents|max_new_tokens|answers|topk_idx)"
)


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from paths(inner, prefix)
    else:
        yield prefix


def test_every_fact_is_used(case) -> None:
    assert [path for path in paths(case.facts) if not USED.fullmatch(path)] == []


@pytest.mark.parametrize("checkpoint", ["checkpoint", "checkpoint_stage3"])
def test_loaded_model_is_the_cases(case, checkpoint: str) -> None:
    facts = case.facts
    model = case.before_stage3 if checkpoint == "checkpoint" else case.stage3
    config = model.config
    assert model.decoder.config.model_type == facts["arch"]
    assert (config.compr_rate, config.doc_max_length) == (
        facts["compr_rate"],
        facts["doc_max_length"],
    )
    assert config.num_memory_tokens == case.expected["compress.memory"].shape[1]
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{facts['dtype']}"}
    for name in model.adapters.names:
        for key, value in model.adapters.state(name).items():
            assert value.shape[0 if "lora_A" in key else 1] == facts["lora_r"]


def test_stage3_is_the_cases(case) -> None:
    facts, config = case.facts, case.stage3.config
    assert (config.stage, config.generation_top_k) == ("stage3", facts["generation_top_k"])
    assert config.topk_temperature == facts["stage3"]["temperature"]
    assert case.expected["stage3.scores"].shape[1] == facts["n_candidates"]
    for example in facts["stage3"]["examples"]:
        assert len(example["docs"]) == facts["n_candidates"]
        assert all(0 <= i < facts["n_candidates"] for i in example["pos_index"])


def test_losses_weigh_the_mse_as_the_case_does(case) -> None:
    for group in ("stage1_qa", "stage1_paraphrase", "stage2_instruction"):
        assert case.before_stage3.config.mse_weight == case.facts[group]["mse_weight"]
    assert "mse_weight" not in case.facts["stage3"]
