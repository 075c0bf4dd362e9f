"""What a stage takes: numbers that train, memory, operations and disk, by stated formulas."""

from __future__ import annotations

from clara_model.training.spec import TrainSpec
from tasks.training.decoder_size import DecoderSize
from tasks.training.example_tokens import Tokens

# Of one token in one block, in numbers: the two norms' inputs and outputs, residuals, queries,
# keys, values, the attention's output, and gate, up, their activation and product.
_HIDDEN, _QUERIES, _KEYS, _INNER = 8, 2, 2, 4
# LoRA's dropout keeps an input of its own for every adapted layer: three of attention and two of
# the feed-forward part read the norms, one each the attention's output and the product.
_DROPPED_HIDDEN, _DROPPED_QUERIES, _DROPPED_INNER = 5, 1, 1
_LOGIT_COPIES = 3  # logits, their softmax, its gradient; in float32
_QUANTIZED = {"8bit": 1.0, "4bit": 0.52}  # bytes of a weight, with its constants
_CONTEXT = 10**9  # what CUDA and its libraries take of a GPU


def count_trained(spec: TrainSpec, size: DecoderSize) -> dict[str, int]:
    """Numbers that the stage trains, by part; parts that stay as they are are left out."""
    from clara_model.training.stages import trained_parts

    model = spec.model
    slots = model.doc_max_length // model.compr_rate if model.different_mem_tokens else 1
    parts = {
        part: slots * size.hidden if part == "memory_tokens" else size.adapter
        for part in trained_parts(spec)
    }
    if spec.stage != "stage3" and size.also:
        parts["train_also"] = size.also
    return parts


def estimate_memory(
    spec: TrainSpec, size: DecoderSize, tokens: Tokens, micro: int, kind: str
) -> dict[str, int]:
    """Bytes that one rank takes at its peak, by part.

    With b bytes a number (4 in fp32, else 2), P weights of the decoder and its adapters, T numbers
    that train, R ranks and t tokens in the largest micro-batch:

    - weights: P * b (matrices 1 or 0.52 bytes in 8 or 4 bits); over R at ZeRO 3, 0 if offloaded;
    - gradients: T * 4; over R from ZeRO 2 on;
    - optimizer: T * 8 for AdamW's moments, T * 4 for float32 copies unless fp32; over R from ZeRO 1
      on, 0 if offloaded;
    - activations: t * a * b for each block, a = 8 H + 2 Q + 2 K + 4 F (hidden size, queries, keys,
      feed-forward width) and, with LoRA dropout, 5 H + Q + F more; with gradient checkpointing
      t * H * b for each block and t * a * b for one. Attention is taken to keep no T x T matrix;
    - logits: three float32 copies of `loss_chunk` rows of the vocabulary;
    - context: 1 GB on a GPU.
    """
    half = 4 if spec.precision == "fp32" else 2
    trained = sum(count_trained(spec, size).values())
    adapters = size.adapter * (3 if spec.stage == "stage3" else 2)
    matrix = _QUANTIZED.get(spec.model.quantization, float(half))
    weights = size.matrices * matrix + (size.parameters - size.matrices + adapters) * half
    if spec.zero_stage == 3:
        weights = 0 if spec.offload == "all" else weights / spec.num_processes
    gradients = trained * 4 / (spec.num_processes if spec.zero_stage >= 2 else 1)
    optimizer = trained * (12.0 if spec.precision != "fp32" else 8.0)
    optimizer /= spec.num_processes if spec.zero_stage >= 1 else 1
    if spec.offload != "none":
        optimizer = 0.0
    activations = micro * tokens.largest * _activation_bytes(spec, size, half)
    logits = _LOGIT_COPIES * 4 * min(spec.loss_chunk, micro * tokens.largest) * size.vocabulary
    parts = {
        "weights": weights,
        "gradients": gradients,
        "optimizer": optimizer,
        "activations": activations,
        "logits": logits,
        "context": _CONTEXT if kind == "gpu" else 0,
    }
    return {name: round(value) for name, value in parts.items()}


def count_operations(spec: TrainSpec, size: DecoderSize, tokens: Tokens, steps: int) -> float:
    """Floating-point operations of the whole stage, over all ranks.

    Of every token that gradients flow through 4 times the decoder's matrices, N: 2 N forward and
    2 N backward; the usual 6 N holds 2 N for gradients of the weights, which are frozen here. 2 N
    more with gradient checkpointing, and 2 N for documents that are compressed once. Attention's
    own products and the output embedding are left out: documents are short, answers few.
    """
    factor = 6 if spec.gradient_checkpointing else 4
    trained = steps * spec.training.batch_size * tokens.trained
    return size.matrices * (factor * trained + 2 * tokens.compressed_once)


def estimate_disk(
    spec: TrainSpec, size: DecoderSize, documents: int, *, base_is_here: bool
) -> dict[str, int]:
    """Bytes that the stage leaves or needs on the way, by part.

    - base: the decoder's weights in half precision (float32 for `built-in`), if not here yet;
    - checkpoints: per training checkpoint T * 16 in fp32, else T * 18 (weights, moments and float32
      copies); `keep_checkpoints` of them, the best, and the one being written;
    - model: adapters and embeddings;
    - memories: documents * (L // r) * H * b, stage 3.
    """
    half = 4 if spec.precision == "fp32" else 2
    trained = sum(count_trained(spec, size).values())
    adapters = 3 if spec.stage == "stage3" else 2
    embeddings = size.vocabulary * size.hidden * (1 if size.tied else 2)
    one = 4 if size.source == "model.built_in" else 2
    parts = {
        "base": 0 if base_is_here else size.parameters * one,
        "checkpoints": trained * (12 + half) * (spec.keep_checkpoints + 2),
        "model": (size.adapter * adapters + embeddings) * half,
    }
    if spec.stage == "stage3":
        slots = spec.model.doc_max_length // spec.model.compr_rate
        parts["memories"] = documents * slots * size.hidden * half
    return parts


def _activation_bytes(spec: TrainSpec, size: DecoderSize, half: int) -> int:
    """Bytes that one token's activations take in all blocks together."""
    block = (_HIDDEN * size.hidden + _QUERIES * size.queries + _KEYS * size.keys
             + _INNER * size.inner)  # fmt: skip
    if spec.model.lora_dropout > 0:
        block += (_DROPPED_HIDDEN * size.hidden + _DROPPED_QUERIES * size.queries
                  + _DROPPED_INNER * size.inner)  # fmt: skip
    if spec.gradient_checkpointing:
        return half * (size.layers * size.hidden + block)
    return half * size.layers * block
