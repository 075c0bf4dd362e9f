"""An encoder of random weights and nine words, saved as a folder."""

from __future__ import annotations

from pathlib import Path


def save_tiny_encoder(folder: Path) -> str:
    """BERT of two layers; returns the folder as text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

    set_seed(0)
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
