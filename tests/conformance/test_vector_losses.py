"""Losses, logits and gradients of every stage."""

import pytest
import torch

STAGES = {
    "stage1_qa": "stage1",
    "stage1_paraphrase": "stage1",
    "stage2_instruction": "stage2",
    "stage3": "stage3",
}


@pytest.mark.parametrize("group", STAGES)
def test_losses_and_logits(case, group: str) -> None:
    facts = case.facts[group]
    model = case.model(group)
    output = model(stage=STAGES[group], return_logits=True, **case.inputs(group))
    assert output.lm_loss.item() == pytest.approx(facts["loss"], abs=case.tolerance(1e-5))
    assert output.mse_loss.item() == pytest.approx(facts["mse_loss"], abs=case.tolerance(1e-5))
    weight = facts.get("mse_weight", 0.0)
    total = facts["loss"] + weight * facts["mse_loss"]
    assert output.loss.item() == pytest.approx(total, abs=case.tolerance(1e-5))
    case.assert_close(output.logits[:, -24:], f"{group}.logits_last24")
    assert output.logits.shape == (*case.inputs(group)["labels"].shape, output.logits.shape[-1])


@pytest.mark.parametrize("group", STAGES)
def test_loss_is_the_same_without_all_logits(case, group: str) -> None:
    model = case.model(group)
    output = model(stage=STAGES[group], **case.inputs(group))
    assert output.logits is None
    assert output.lm_loss.item() == pytest.approx(
        case.facts[group]["loss"], abs=case.tolerance(1e-5)
    )


@pytest.mark.parametrize("group", STAGES)
def test_gradient_norms_of_each_adapter(case, group: str) -> None:
    model = case.model(group)
    model.zero_grad()
    model(stage=STAGES[group], **case.inputs(group)).loss.backward()
    norms = dict(case.facts[group]["grad_norm"])
    assert norms.pop("embed_other", 0.0) == 0.0
    for adapter, expected in norms.items():
        gradients = [p.grad.float().flatten() for _, p in model.adapters.parameters(adapter)]
        norm = torch.cat(gradients).norm().item()
        assert norm == pytest.approx(expected, rel=case.tolerance(1e-3))
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in model.trainable_parameters()}
    for name in with_gradient - {"embedding.weight"}:
        assert any(f".{adapter}." in name for adapter in norms)
    memory_gradient = f"{group}.grad_memory_embeddings"
    if memory_gradient in case.expected:
        case.assert_close(model.embedding.weight.grad, memory_gradient)
    query_gradient = f"{group}.grad.layers.0.q_proj.query_reasoner.lora_B"
    if query_gradient in case.expected:
        layer = model.decoder.model.layers[0].self_attn.q_proj
        gradient = layer.lora_B["query_reasoner_adapter"].weight.grad
        case.assert_close(gradient, query_gradient)


def test_stage3_retrieval(case) -> None:
    output = case.stage3(stage="stage3", **case.inputs("stage3"))
    case.assert_close(output.scores, "stage3.scores")
    assert torch.equal(output.topk_index, case.expected["stage3.topk_idx"])
    questions = [example["question"] for example in case.facts["stage3"]["examples"]]
    case.assert_close(case.stage3.represent_queries(questions), "stage3.query_representation")


def test_stage3_from_memories_equals_stage3_from_documents(case) -> None:
    inputs = case.inputs("stage3")
    model = case.stage3
    with torch.no_grad():
        memory, _ = model.compress(inputs.pop("enc_input_ids"), inputs.pop("enc_attention_mask"))
    batch = inputs["labels"].shape[0]
    memory = memory.view(batch, -1, *memory.shape[1:])
    output = model(stage="stage3", document_memory=memory, **inputs)
    assert output.loss.item() == pytest.approx(
        case.facts["stage3"]["loss"], abs=case.tolerance(1e-5)
    )
    assert torch.equal(output.topk_index, case.expected["stage3.topk_idx"])
    assert output.mse_loss is None
