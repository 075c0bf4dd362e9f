"""Decoders of known shapes with random weights, and the model around them: no file, no download."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from clara_model import Clara, ClaraConfig
from clara_model.base.tokenizer import BOS, CHAT_TEMPLATE, EOS, PAD, SPECIAL_TOKENS
from clara_model.encoding import extend_tokenizer

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Shape:
    """A decoder's dimensions, and how many examples a step of each stage takes.

    Args:
        architecture: As `transformers` names it.
        hidden: H.
        layers: Decoder layers.
        intermediate: Width of the MLP.
        heads: Attention heads.
        kv_heads: Key and value heads.
        vocab: V; tokens that the tokenizer does not use stay unused.
        tokenizer_vocab: Tokens of the tokenizer that is trained on the rows' texts.
        batch: Examples per optimizer step, for stages 1, 2 and 3.
        micro: Examples per forward pass, likewise; the same for both implementations.
        pool: Distinct passages from which the candidates of stage 3 are drawn.
        doc_max_length: L.
        checkpointing: Whether activations are recomputed unless the command line says otherwise.
    """

    architecture: str
    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    vocab: int
    tokenizer_vocab: int
    batch: tuple[int, int, int]
    micro: tuple[int, int, int]
    pool: int
    doc_max_length: int = 256
    checkpointing: bool = False

    @property
    def layer_weights(self) -> int:
        """Weights of all linear layers between the embedding and the output embedding."""
        head_size = self.hidden // self.heads
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv_heads * head_size
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head_share(self) -> float:
        """The output embedding's share of all weights that a token is multiplied with."""
        head = self.hidden * self.vocab
        return head / (head + self.layer_weights)

    def lora_weights(self, rank: int) -> int:
        """Weights of one adapter on all linear layers."""
        kv = self.hidden // self.heads * self.kv_heads
        sides = 2 * (self.hidden + self.hidden) + 2 * (self.hidden + kv)
        return rank * self.layers * (sides + 3 * (self.hidden + self.intermediate))


_SMALL = Shape("mistral", 256, 6, 768, 8, 4, 8192, 8192, batch=(8, 4, 4), micro=(8, 4, 4), pool=128)
SHAPES = {
    # For tests: seconds on any machine, and figures that mean nothing.
    "tiny": Shape(
        "mistral", 32, 2, 64, 4, 2, 600, 600,
        batch=(4, 2, 2), micro=(2, 2, 1), pool=24, doc_max_length=64,
    ),
    "small": _SMALL,
    "small-32k": replace(_SMALL, vocab=32768),
    "qwen3-0.6b": Shape(
        "qwen3", 1024, 28, 3072, 16, 8, 151936, 16384,
        batch=(32, 16, 16), micro=(16, 8, 8), pool=1000, checkpointing=True,
    ),
    "mistral-7b": Shape(
        "mistral", 4096, 32, 14336, 32, 8, 32768, 16384,
        batch=(32, 16, 16), micro=(16, 8, 8), pool=1000, checkpointing=True,
    ),
}  # fmt: skip


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the rows' own texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(
    shape: Shape, tokenizer: PreTrainedTokenizerFast, *, rate: int, dtype: str, device: str
) -> Clara:
    """A model whose adapters act, without dropout, made on the device itself."""
    config = ClaraConfig(
        doc_max_length=shape.doc_max_length,
        compr_rate=rate,
        generation_top_k=5,
        lora_dropout=0.0,
    )
    extend_tokenizer(tokenizer, config)
    torch.manual_seed(0)
    with torch.device(device):
        decoder = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(
                shape.architecture,
                hidden_size=shape.hidden,
                num_hidden_layers=shape.layers,
                intermediate_size=shape.intermediate,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.kv_heads,
                head_dim=shape.hidden // shape.heads,
                vocab_size=max(shape.vocab, len(tokenizer)),
                max_position_embeddings=8192,
                sliding_window=None,
                tie_word_embeddings=False,
            ),
            dtype=DTYPES[dtype],
        )
        model = Clara(decoder, tokenizer, config).to(device)
    with torch.no_grad():
        for name in model.adapters.names:
            for parameter_name, parameter in model.adapters.parameters(name):
                if "lora_B" in parameter_name:  # zero in a fresh adapter, which then does nothing
                    parameter.normal_(std=0.02)
    return model
