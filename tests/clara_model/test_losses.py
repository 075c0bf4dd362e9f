import math

import pytest
import torch

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


def test_mse_compares_means_and_leaves_padding_out() -> None:
    hidden = torch.tensor([[[100.0, 100.0], [1.0, 2.0], [3.0, 4.0], [5.0, 3.0]]])
    mask = torch.tensor([[0, 1, 1, 1]])
    is_memory = torch.tensor([[False, False, False, True]])
    # Document mean (2, 3), memory mean (5, 3): squared differences 9 and 0.
    assert memory_mse(hidden, mask, is_memory).item() == pytest.approx(4.5)
