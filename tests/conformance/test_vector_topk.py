"""The differentiable top-k: choice and gradient."""

import torch

from clara_model.topk import straight_through_topk


def test_choice_and_gradient(case) -> None:
    facts, expected = case.facts["topk"], case.expected
    scores = expected["topk.logits"].clone().requires_grad_()
    selection, index = straight_through_topk(scores, facts["k"], facts["temperature"])
    assert torch.equal(index, expected["topk.index"])
    case.assert_close(selection, "topk.selection")
    (selection * expected["topk.weights"]).sum().backward()
    case.assert_close(scores.grad, "topk.grad")
