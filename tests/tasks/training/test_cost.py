"""Memory, operations and disk of a stage, worked out by hand for a decoder of round numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clara_model.training.spec import TrainSpec
from configs.schema import PipelineConfig
from tasks.training.cost import count_operations, count_trained, estimate_disk, estimate_memory
from tasks.training.decoder_size import DecoderSize, measure_decoder
from tasks.training.example_tokens import Tokens
from tasks.training.launch import build_spec
from tasks.workspace import Workspace

SIZE = DecoderSize(
    source="its config.json", parameters=1000, matrices=800, adapter=100, also=0, layers=2,
    hidden=10, inner=20, queries=10, keys=5, vocabulary=50, tied=True,
)  # fmt: skip
TOKENS = Tokens(trained=40.0, largest=50, compressed_once=0.0, measured=True)

MakeSpec = Callable[..., TrainSpec]


@pytest.fixture
def spec_of(tmp_path: Path) -> MakeSpec:
    """Specs of a stage: 32 tokens become 4 memory vectors, batches of 8, no dropout."""

    def build(stage: str = "stage1", model: dict | None = None, **training: object) -> TrainSpec:
        own = {"doc_max_length": 32, "compr_rate": 8, "generation_top_k": 2, "lora_dropout": 0.0}
        stages = {name: {"batch_size": 8} for name in ("stage1", "stage2", "stage3")}
        config = PipelineConfig.model_validate(
            {"model": own | (model or {}), "training": {**stages, "zero_stage": 0, **training}}
        )
        return build_spec(config, Workspace(tmp_path), stage)

    return build


def test_what_trains_is_told_by_part(spec_of: MakeSpec) -> None:
    # Four memory tokens of width 10.
    expected = {"encoder_adapter": 100, "decoder_adapter": 100, "memory_tokens": 40}
    assert count_trained(spec_of(), SIZE) == expected
    one = spec_of(model={"different_mem_tokens": False})
    assert count_trained(one, SIZE)["memory_tokens"] == 10
    assert count_trained(spec_of("stage3"), SIZE) == {
        "query_reasoner_adapter": 100,
        "decoder_adapter": 100,
    }
    with_more = replace(SIZE, also=30)
    assert count_trained(spec_of("stage2"), with_more)["train_also"] == 30
    assert "train_also" not in count_trained(spec_of("stage3"), with_more)


def test_memory_in_float32_on_one_processor(spec_of: MakeSpec) -> None:
    assert estimate_memory(spec_of(), SIZE, TOKENS, 2, "cpu") == {
        "weights": (1000 + 2 * 100) * 4,
        "gradients": 240 * 4,
        "optimizer": 240 * 8,
        # 100 tokens, 2 blocks, 8 * 10 + 2 * 10 + 2 * 5 + 4 * 20 = 190 numbers.
        "activations": 100 * 2 * 190 * 4,
        "logits": 3 * 4 * 100 * 50,
        "context": 0,
    }


def test_memory_is_shared_by_ranks_as_the_zero_stage_says(spec_of: MakeSpec) -> None:
    def parts(zero_stage: int, **options: object) -> tuple[int, int, int]:
        spec = spec_of(zero_stage=zero_stage, num_processes=2, precision="bf16", **options)
        memory = estimate_memory(spec, SIZE, TOKENS, 2, "gpu")
        assert memory["context"] == 10**9
        return memory["weights"], memory["gradients"], memory["optimizer"]

    assert parts(0) == (2400, 960, 240 * 12)
    assert parts(1) == (2400, 960, 120 * 12)
    assert parts(2) == (2400, 480, 120 * 12)
    assert parts(3) == (1200, 480, 120 * 12)
    assert parts(2, offload="optimizer") == (2400, 480, 0)
    assert parts(3, offload="all") == (0, 480, 0)


def test_memory_with_checkpointing_dropout_quantization_and_small_chunks(spec_of: MakeSpec) -> None:
    def part(name: str, **options: object) -> int:
        spec = spec_of(precision="bf16", **options)
        return estimate_memory(spec, SIZE, TOKENS, 2, "gpu")[name]

    # An input of every block, and all that one block keeps.
    assert part("activations", gradient_checkpointing=True) == 100 * (2 * 10 + 190) * 2
    # Dropout keeps 5 * 10 + 10 + 20 numbers more.
    assert part("activations", model={"lora_dropout": 0.1}) == 100 * 2 * (190 + 80) * 2
    assert part("weights", model={"quantization": "8bit"}) == 800 + (200 + 200) * 2
    assert part("weights", model={"quantization": "4bit"}) == 416 + (200 + 200) * 2
    assert part("logits", loss_chunk=10) == 3 * 4 * 10 * 50


def test_operations_are_those_of_frozen_weights(spec_of: MakeSpec) -> None:
    # 10 steps of 8 examples of 40 tokens, through 800 weights.
    assert count_operations(spec_of(), SIZE, TOKENS, 10) == 4 * 800 * 3200
    recomputed = spec_of(gradient_checkpointing=True)
    assert count_operations(recomputed, SIZE, TOKENS, 10) == 6 * 800 * 3200
    once = replace(TOKENS, compressed_once=1000.0)
    assert count_operations(spec_of("stage3"), SIZE, once, 10) == 4 * 800 * 3200 + 2 * 800 * 1000


def test_disk_counts_what_stays_and_what_is_needed_on_the_way(spec_of: MakeSpec) -> None:
    spec = spec_of(keep_checkpoints=1)
    assert estimate_disk(spec, SIZE, 0, base_is_here=False) == {
        "base": 2000,
        "checkpoints": 240 * 16 * 3,
        "model": (2 * 100 + 50 * 10) * 4,
    }
    last = estimate_disk(spec_of("stage3"), replace(SIZE, tied=False), 7, base_is_here=True)
    assert last["base"] == 0
    assert last["model"] == (3 * 100 + 2 * 50 * 10) * 4
    assert last["memories"] == 7 * 4 * 10 * 4


def test_known_bases_are_counted_without_their_weights(tmp_path: Path) -> None:
    def measure(base: str, **model: object) -> DecoderSize:
        config = PipelineConfig.model_validate({"model": {"base": base, **model}})
        size = measure_decoder(config.model, Workspace(tmp_path))
        assert size is not None
        return size

    mistral = measure("mistralai/Mistral-7B-Instruct-v0.2")
    attention, feed_forward = 2 * 4096 * 4096 + 2 * 4096 * 1024, 3 * 4096 * 14336
    assert mistral.matrices == 32 * (attention + feed_forward)
    norms = 32 * 2 * 4096 + 4096
    assert mistral.parameters == mistral.matrices + norms + 2 * 32000 * 4096
    # Rank 16 times inputs and outputs of q, k, v, o, gate, up, down.
    sides = 2 * 8192 + 2 * (4096 + 1024) + 3 * (4096 + 14336)
    assert mistral.adapter == 32 * 16 * sides
    only = measure("mistralai/Mistral-7B-Instruct-v0.2", lora_targets=["q_proj"], lora_r=4)
    assert only.adapter == 32 * 4 * 8192
    assert round(measure("Qwen/Qwen3-4B-Instruct-2507").parameters / 1e9, 2) == 4.02
    assert round(measure("microsoft/Phi-4-mini-instruct").parameters / 1e9, 2) == 3.84


def test_a_folder_is_counted_by_its_config_and_an_unknown_id_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "llama", "hidden_size": 8, "intermediate_size": 16, "vocab_size": 30, '
        '"num_hidden_layers": 1, "num_attention_heads": 2, "tie_word_embeddings": true}'
    )
    config = PipelineConfig.model_validate({"model": {"base": str(folder), "train_also": ["norm"]}})
    size = measure_decoder(config.model, Workspace(tmp_path))
    assert size is not None
    assert (size.matrices, size.parameters) == (4 * 64 + 3 * 128, 640 + 3 * 8 + 30 * 8)
    assert (size.also, size.queries, size.keys) == (24, 8, 8)
    unknown = PipelineConfig.model_validate({"model": {"base": "nobody/nothing-at-all"}})
    assert measure_decoder(unknown.model, Workspace(tmp_path)) is None
