"""How a base decoder is loaded: attention, precision, quantization."""

import importlib.util
import logging

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, XLNetConfig

from clara_model import Clara
from clara_model.errors import CheckpointError, ConfigError
from clara_model.modeling.adapters import _linear_layers
from clara_model.modeling.loading import FLASH, BaseOptions, choose_attention

GPU = torch.device("cuda:0")
BF16 = torch.bfloat16


@pytest.fixture
def flash_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if flash_attn were importable; the choice is computed, no kernel runs."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found("torch" if name == "flash_attn" else name)
    )


@pytest.mark.usefixtures("flash_installed")
@pytest.mark.parametrize(
    ("device", "dtype", "config", "expected"),
    [
        (GPU, BF16, LlamaConfig(), FLASH),
        (GPU, torch.float16, LlamaConfig(), FLASH),
        (GPU, torch.float32, LlamaConfig(), None),
        (None, BF16, LlamaConfig(), None),
        (GPU, BF16, XLNetConfig(), None),
    ],
    ids=["bf16", "fp16", "fp32", "cpu", "architecture without it"],
)
def test_auto_takes_flash_attention_where_it_can_run(device, dtype, config, expected) -> None:
    assert choose_attention(BaseOptions(device=device), dtype, config) == expected


def test_without_the_package_auto_is_sdpa_and_flash_attention_is_refused() -> None:
    if importlib.util.find_spec("flash_attn"):
        pytest.skip("flash_attn is installed here")
    assert choose_attention(BaseOptions(device=GPU), BF16, LlamaConfig()) is None
    with pytest.raises(ConfigError, match=r"flash_attn is not installed .* use auto or sdpa"):
        choose_attention(BaseOptions(device=GPU, attention=FLASH), BF16, LlamaConfig())


def test_flash_attention_says_why_it_cannot_run(tiny_base, tiny_config) -> None:
    with pytest.raises(ConfigError, match="not on a CUDA GPU"):
        Clara.from_base(tiny_base(), tiny_config(), attention=FLASH)
    with pytest.raises(ConfigError, match=r"half precision only.*float32"):
        choose_attention(BaseOptions(device=GPU, attention=FLASH), torch.float32, LlamaConfig())


@pytest.mark.parametrize(("asked", "got"), [(None, "sdpa"), ("eager", "eager")])
def test_the_attention_in_use_is_logged(tiny_base, tiny_config, caplog, asked, got) -> None:
    with caplog.at_level(logging.INFO, logger="clara_model"):
        model = Clara.from_base(tiny_base(), tiny_config(), attention=asked)
    assert model.decoder.config._attn_implementation == got
    assert caplog.messages.count(f"attention: {got}") == 1


def test_both_attentions_give_the_same_memories(tiny_base, tiny_config, documents) -> None:
    models = [
        Clara.from_base(tiny_base(), tiny_config(), attention=name) for name in ("sdpa", "eager")
    ]
    one, other = (model.compress_documents(documents) for model in models)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantization_says_what_is_missing(tiny_base, tiny_config, bits) -> None:
    if torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes"):
        pytest.skip("everything is here")
    with pytest.raises(ConfigError, match=rf"quantization is {bits}, which needs .*to none"):
        Clara.from_base(tiny_base(), tiny_config(), quantization=bits)


def test_quantization_without_a_gpu_is_refused(tiny_base, tiny_config, monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found("torch" if name == "bitsandbytes" else name)
    )
    with pytest.raises(ConfigError, match="needs a CUDA GPU, and the model is on cpu"):
        Clara.from_base(tiny_base(), tiny_config(), quantization="4bit")


def test_quantized_layers_carry_adapters_too(tiny_clara) -> None:
    # bitsandbytes' layers derive from torch's, so a class of one's own stands for them.
    class Linear4bit(nn.Linear):
        pass

    decoder = tiny_clara().decoder
    decoder.model.layers[0].mlp.squeezed = Linear4bit(4, 4)
    assert "squeezed" in _linear_layers(decoder)


def test_a_base_that_is_nowhere_is_named(tmp_path, tiny_config) -> None:
    with pytest.raises(CheckpointError, match=r"cannot load the base model .*nowhere"):
        Clara.from_base(tmp_path / "nowhere", tiny_config())
