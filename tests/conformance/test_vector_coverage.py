"""No tensor of the vectors goes unchecked by the tests beside this one."""

import re

CHECKED = re.compile(
    r"compress\.(input_ids|attention_mask|memory|mse_loss)"
    r"|(stage1_qa|stage1_paraphrase|stage2_instruction|stage3)\."
    r"((enc|dec|query)_(input_ids|attention_mask)|labels|logits_last24|grad_memory_embeddings)"
    r"|stage3\.(scores|topk_idx|query_representation"
    r"|grad\.layers\.0\.q_proj\.query_reasoner\.lora_B)"
    r"|topk\.(logits|weights|index|selection|grad)"
)


def test_every_expected_tensor_is_checked(case) -> None:
    assert [name for name in case.expected if not CHECKED.fullmatch(name)] == []
