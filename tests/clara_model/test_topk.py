import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clara_model.topk import straight_through_topk

scores_and_k = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(
            st.lists(st.floats(-1, 1, width=32), min_size=n, max_size=n), min_size=1, max_size=3
        ),
        st.integers(1, n),
    )
)


@given(scores_and_k, st.sampled_from([0.02, 0.5, 3.0]))
def test_forward_picks_each_of_the_k_best_once(
    case: tuple[list[list[float]], int], temperature: float
) -> None:
    rows, k = case
    selection, index = straight_through_topk(torch.tensor(rows), k, temperature)
    for row, chosen, one_hot in zip(rows, index.tolist(), selection, strict=True):
        assert len(set(chosen)) == k
        assert [row[i] for i in chosen] == sorted(row, reverse=True)[:k]
        assert one_hot.tolist() == [[float(i == c) for i in range(len(row))] for c in chosen]


@given(scores_and_k)
def test_gradient_is_finite_at_any_scores(case: tuple[list[list[float]], int]) -> None:
    rows, k = case
    scores = torch.tensor(rows, requires_grad=True)
    selection, _ = straight_through_topk(scores, k, 0.02)
    (selection * torch.arange(selection.numel()).view_as(selection)).sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_gradient_is_that_of_the_softmax_over_what_is_left() -> None:
    # Two candidates at temperature 1: d softmax_0 / d s_0 = p (1 - p); slot 2 has one candidate
    # left, whose softmax is constant.
    scores = torch.tensor([[1.0, 0.0]], requires_grad=True)
    selection, _ = straight_through_topk(scores, 2, 1.0)
    selection[0, 0, 0].backward(retain_graph=True)
    p = 1 / (1 + math.exp(-1))
    assert scores.grad[0].tolist() == pytest.approx([p * (1 - p), -p * (1 - p)], abs=1e-6)
    scores.grad = None
    selection[0, 1, 1].backward()
    assert scores.grad.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(("k", "temperature"), [(0, 1.0), (4, 1.0), (2, 0.0)])
def test_impossible_arguments_are_refused(k: int, temperature: float) -> None:
    with pytest.raises(ValueError, match=r"k=|temperature"):
        straight_through_topk(torch.zeros(2, 3), k, temperature)
