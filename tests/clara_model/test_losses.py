import math

import pytest
import torch
import torch.nn.functional as F

from clara_model.errors import DataError
from clara_model.losses import answer_loss, memory_mse


def test_answer_loss_is_the_mean_over_tokens_whose_next_is_labelled() -> None:
    # Hidden states are the logits. Position 1 predicts token 2 (labelled 0), with equal logits.
    hidden = torch.tensor([[[9.0, 0.0], [0.0, 0.0], [0.0, 3.0]]])
    labels = torch.tensor([[-100, -100, 0]])
    loss = answer_loss(hidden, labels, lambda h: h)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)


def test_only_labelled_positions_are_projected() -> None:
    seen = []
    labels = torch.tensor([[-100, 1, -100, 0], [-100, -100, -100, 1]])

    def project(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(hidden.shape))
        return hidden

    answer_loss(torch.zeros(2, 4, 5), labels, project)
    assert seen == [(3, 5)]


def test_no_labelled_token_is_refused_instead_of_nan() -> None:
    # A label at position 0 has nothing in front of it to predict it from.
    labels = torch.tensor([[1, -100, -100]])
    with pytest.raises(DataError, match="no token of the batch is labelled"):
        answer_loss(torch.zeros(1, 3, 4), labels, lambda h: h)


def _head(vocabulary: int = 50) -> tuple[torch.Tensor, torch.Tensor, torch.nn.Linear]:
    torch.manual_seed(0)
    hidden, head = torch.randn(4, 30, 8), torch.nn.Linear(8, vocabulary)
    labels = torch.randint(0, vocabulary, (4, 30))
    return hidden, torch.where(torch.rand(4, 30) < 0.3, -100, labels), head


@pytest.mark.parametrize("chunk", [1, 7, 32, 1000])
def test_chunks_change_neither_value_nor_gradients(chunk: int) -> None:
    hidden, labels, head = _head()
    hidden.requires_grad_()
    # transformers' own shift and mean, written out.
    whole = F.cross_entropy(head(hidden)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    expected = torch.autograd.grad(whole, [hidden, *head.parameters()])
    loss = answer_loss(hidden, labels, head, weights=list(head.parameters()), chunk=chunk)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-6)
    for got, want in zip(
        torch.autograd.grad(loss, [hidden, *head.parameters()]), expected, strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


def test_no_chunk_leaves_its_logits_behind_for_the_backward_pass() -> None:
    hidden, labels, head = _head(vocabulary=500)
    hidden.requires_grad_()
    rows, saved = [], []

    def project(states: torch.Tensor) -> torch.Tensor:
        rows.append(len(states))
        return head(states)

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        weights = list(head.parameters())
        answer_loss(hidden, labels, project, weights=weights, chunk=16).backward()
        kept = max(saved)
    assert max(rows) == 16
    # One chunk's logits while its own gradients are made, and the head's weights.
    assert kept <= 16 * 500
    saved.clear()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        answer_loss(hidden, labels, project, chunk=1000)
    assert max(saved) == int((labels[:, 1:] != -100).sum()) * 500


def test_one_chunk_is_projected_once() -> None:
    hidden, labels, head = _head()
    rows = []
    loss = answer_loss(hidden, labels, lambda h: rows.append(len(h)) or head(h), chunk=1000)
    loss.backward()
    assert len(rows) == 1


def test_mse_compares_means_and_leaves_padding_out() -> None:
    hidden = torch.tensor([[[100.0, 100.0], [1.0, 2.0], [3.0, 4.0], [5.0, 3.0]]])
    mask = torch.tensor([[0, 1, 1, 1]])
    is_memory = torch.tensor([[False, False, False, True]])
    # Document mean (2, 3), memory mean (5, 3): squared differences 9 and 0.
    assert memory_mse(hidden, mask, is_memory).item() == pytest.approx(4.5)
