"""BERTScore on a tiny encoder of random weights: the arithmetic, not the meaning."""

from __future__ import annotations

import pytest
from tiny_encoder import save_tiny_encoder

from clara_model.evaluation.metrics.bert_score import bert_scores


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def test_same_text_scores_1_and_another_less(encoder):
    same, other = bert_scores(
        ["the cat sat", "dog ran"], ["the cat sat", "the cat sat"], model=encoder, layer=2
    )
    assert same.f1 == pytest.approx(1.0, abs=1e-5)
    assert other.f1 < 0.999
    assert other.f1 == pytest.approx(
        2 * other.precision * other.recall / (other.precision + other.recall)
    )


def test_batching_and_padding_change_nothing(encoder):
    said, original = ["cat", "the dog ran the cat sat"], ["dog", "the cat sat"]
    whole = bert_scores(said, original, model=encoder, layer=2)
    single = bert_scores(said, original, model=encoder, layer=2, batch_size=1)
    for one, other in zip(whole, single, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_text_that_is_part_of_the_original_is_precise_in_the_embeddings(encoder):
    import math

    (part,) = bert_scores(["cat"], ["cat"], model=encoder, layer=0)
    assert math.isclose(part.precision, 1.0, abs_tol=1e-5)
    (empty,) = bert_scores([""], ["cat"], model=encoder, layer=0)
    assert empty == (0.0, 0.0, 0.0)


def test_layer_that_is_not_there_is_refused(encoder):
    with pytest.raises(ValueError, match="no layer 17, only 2"):
        bert_scores(["a"], ["b"], model=encoder)
