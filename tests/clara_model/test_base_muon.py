"""Muon: what a step is, beside torch's own in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clara_model.base.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(24, 24), (40, 16), (16, 40)], ids=["square", "tall", "wide"])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    left, _, right = torch.linalg.svd(
        torch.randn(shape, generator=torch.Generator().manual_seed(0)), full_matrices=False
    )
    values = torch.linspace(1.0, 3.0, len(right))
    result = orthogonalize(left @ values.diag() @ right)
    seen = left.T @ result @ right.T
    assert result.shape == shape
    assert seen.diag().min() > 0.6
    assert seen.diag().max() < 1.3
    assert (seen - seen.diag().diag()).abs().max() < 1e-4


def test_steps_are_those_of_torchs_own_but_for_its_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(20, 30, generator=generator)
    own, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = [
        Muon([own], lr=0.01, momentum=0.9),
        torch.optim.Muon(
            [other], lr=0.01, momentum=0.9, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
        ),
    ]
    for _ in range(5):
        gradient = torch.randn(20, 30, generator=generator)
        own.grad, other.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (other - start).abs().mean()
    assert (own - other).abs().max() < 0.05 * moved


def test_a_parameter_without_gradient_stays() -> None:
    parameter = nn.Parameter(torch.ones(3, 4))
    Muon([parameter]).step()
    assert torch.equal(parameter, torch.ones(3, 4))
