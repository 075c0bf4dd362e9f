"""BERTScore on a tiny encoder of random weights: the arithmetic, not the meaning."""

from __future__ import annotations

import pytest

from clara_model.evaluation.metrics.bert_score import bert_scores


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

    set_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "dog", "ran"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=30,
    ).save_pretrained(folder)  # fmt: skip
    shape = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=2,
                       num_attention_heads=2, intermediate_size=16, max_position_embeddings=32,
                       position_embedding_type="absolute")  # fmt: skip
    BertModel(shape).save_pretrained(folder)
    return str(folder)


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
