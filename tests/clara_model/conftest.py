"""Tiny random decoders and tokenizers, built from scratch: no file, no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from clara_model import Clara, ClaraConfig

CHATML = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
WITHOUT_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ raise_exception('no system role') }}{% elif m['role'] == 'user' %}"
    "{{ '[Q] ' + m['content'] + ' [/Q]' }}{% else %}{{ ' ' + m['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
)
DOCUMENTS = [
    "Ada Lark was born in the city of Orford. Ada Lark studied at the University of Yarrow.",
    "The seat of Heron Mills is the city of Kelso. Heron Mills is known for making bells.",
    "Tom Ash earns a living as a potter. The birthplace of Tom Ash is Salford.",
    "Short one.",
]
DIMENSIONS = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
}


@pytest.fixture(scope="session")
def documents() -> list[str]:
    return list(DOCUMENTS)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Callable[..., PreTrainedTokenizerBase]:
    """Builds a byte-level tokenizer of 300 tokens with one of two chat templates."""

    def build(template: str = CHATML, pad: bool = False) -> PreTrainedTokenizerBase:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        special = ["<pad>", "<bos>", "<|end|>", "<|start|>"]
        trainer = trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(DOCUMENTS, trainer)
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<bos>",
            eos_token="<|end|>",
            pad_token="<pad>" if pad else None,
        )
        fast.chat_template = template
        return fast

    return build


@pytest.fixture(scope="session")
def chat_templates() -> dict[str, str]:
    return {"chatml": CHATML, "without_system": WITHOUT_SYSTEM}


@pytest.fixture(scope="session")
def tiny_base(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_tokenizer: Callable[..., PreTrainedTokenizerBase],
) -> Callable[..., Path]:
    """Writes a tiny random decoder and its tokenizer to a folder, once for each set of options."""
    built: dict[str, Path] = {}

    def build(architecture: str = "llama", *, template: str = CHATML, **options: object) -> Path:
        key = repr((architecture, template, sorted(options.items())))
        if key not in built:
            folder = tmp_path_factory.mktemp(architecture) / "base"
            tokenizer = tiny_tokenizer(template)
            config = AutoConfig.for_model(
                architecture,
                vocab_size=options.pop("vocab_size", len(tokenizer)),
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
                **(DIMENSIONS | options),
            )
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            built[key] = folder
        return built[key]

    return build


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., ClaraConfig]:
    def build(**options: object) -> ClaraConfig:
        settings = {
            "doc_max_length": 24,
            "compr_rate": 6,
            "generation_top_k": 2,
            "lora_r": 2,
            "lora_dropout": 0.5,
            "init_seed": 5,
        }
        return ClaraConfig(**(settings | options))

    return build


@pytest.fixture
def tiny_clara(
    tiny_base: Callable[..., Path], tiny_config: Callable[..., ClaraConfig]
) -> Callable[..., Clara]:
    """A model whose adapters act: a fresh adapter's B is zero, so B is drawn here."""

    def build(architecture: str = "llama", *, stage: str = "stage1", **options: object) -> Clara:
        base = {"tie_word_embeddings": options.pop("tie_word_embeddings", True)}
        model = Clara.from_base(tiny_base(architecture, **base), tiny_config(**options))
        model.prepare_stage(stage)
        generator = torch.Generator().manual_seed(1)
        for name in model.adapters.names:
            for parameter_name, parameter in model.adapters.parameters(name):
                if "lora_B" in parameter_name:
                    parameter.data.normal_(std=0.3, generator=generator)
        return model

    return build
