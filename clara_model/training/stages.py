"""What differs between the stages: the model they start from, and their batches."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from clara_model.errors import ConfigError
from clara_model.memory import MemoryStore, build_memory, compressor_hash
from clara_model.training.dataset import Dataset, Row
from clara_model.training.engine import DTYPES, Ranks, barrier
from clara_model.training.spec import MEMORY_PROGRESS, TrainSpec

if TYPE_CHECKING:
    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)

_FIXED = ("doc_max_length", "compr_rate", "different_mem_tokens", "lora_r", "adapter_alpha",
          "lora_dropout", "lora_targets")  # fmt: skip


def load_model(spec: TrainSpec, ranks: Ranks) -> Clara:
    """The model as the stage starts with it, its trainable weights set."""
    from clara_model.modeling.clara import Clara

    config = spec.clara_config()
    options: dict[str, Any] = {
        "dtype": DTYPES[spec.precision],
        "device": ranks.device,
        "attention": spec.model.attention,
        "trust_remote_code": spec.model.trust_remote_code,
        "quantization": spec.model.quantization,
    }
    if spec.init is None:
        model = Clara.from_base(spec.base, config, **options)
    else:
        model = Clara.from_pretrained(spec.init, spec.base, **options)
        _check_same(model, spec)
        model.config.generation_top_k = config.generation_top_k
        model.config.mse_weight = config.mse_weight
        model.config.topk_temperature = config.topk_temperature
        model.config.init_seed = config.init_seed
    if spec.stage == "stage2" and spec.training.decoder_init == "fresh":
        model.reset_adapter("decoder_adapter", spec.training.seed)
    if spec.stage != "stage3":
        model.extra.add(spec.model.train_also)
    train = trained_parts(spec)
    model.prepare_stage(spec.stage, query_init=spec.training.query_init, train=train)
    model.loss_chunk = spec.loss_chunk
    if spec.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    if spec.compile:
        model.compile_decoder()
    return model


def trained_parts(spec: TrainSpec) -> tuple[str, ...]:
    """What the stage trains: names of adapters, and `memory_tokens`.

    Raises:
        ConfigError: If everything is frozen.
    """
    training = spec.training
    if spec.stage == "stage3":
        wanted = {
            "query_reasoner_adapter": training.train_query_reasoner,
            "decoder_adapter": training.train_decoder,
            # Not the memory tokens: a stage 3 without this option has them as they were, too.
            "encoder_adapter": trains_compressor(spec),
        }
    else:
        compressor = trains_compressor(spec)
        wanted = {
            "encoder_adapter": compressor,
            "decoder_adapter": True,
            "memory_tokens": compressor,
        }
    if not any(wanted.values()):
        raise ConfigError(
            f"training.{spec.stage}: nothing to train; set one of train_query_reasoner, "
            "train_decoder and train_compressor"
        )
    return tuple(name for name, trains in wanted.items() if trains)


def trains_compressor(spec: TrainSpec) -> bool:
    """Whether the stage changes what a document is compressed to; by default all but stage 3."""
    chosen = spec.training.train_compressor
    return spec.stage != "stage3" if chosen is None else chosen


def open_memory(
    model: Clara, spec: TrainSpec, dataset: Dataset, ranks: Ranks
) -> MemoryStore | None:
    """Stage 3's memory store: the first rank compresses what is missing, the others wait.

    None where the compressor is trained, too: then every step compresses its own candidates.
    """
    if spec.stage != "stage3" or spec.memory is None:
        return None
    if trains_compressor(spec):
        log.warning(
            "the compressor is trained: candidates are compressed in every step, and memories "
            "made before this stage are no longer valid for its model"
        )
        return None
    expected = compressor_hash(model)
    if ranks.is_first:
        started = time.monotonic()
        store = build_memory(
            model, dataset.documents(), spec.memory,
            checkpoint_hash=expected, on_progress=_progress_writer(spec),
        )  # fmt: skip
        log.info("%d memories in %.1f s", len(store), time.monotonic() - started)
    barrier(ranks)
    return MemoryStore.open(spec.memory, expected)


def make_batch(
    rows: list[Row], model: Clara, spec: TrainSpec, *, step: int, memory: MemoryStore | None
) -> dict[str, Tensor]:
    """Keyword arguments of the model for some rows of a step."""
    from clara_model.batches import collate

    if memory is not None:
        rows = [{**row, "document_memory": memory.lookup(row["docs"])} for row in rows]
    seed = spec.training.seed * 1_000_003 + step
    return collate(rows, model.tokenizer, model.config, stage=spec.stage, generator_seed=seed)


def _check_same(model: Clara, spec: TrainSpec) -> None:
    config = spec.clara_config()
    for name in _FIXED:
        has, wants = getattr(model.config, name), getattr(config, name)
        if has != wants:
            raise ConfigError(
                f"{spec.init} has {name} {has}, but model.{name} is {wants}; train the stage "
                "before anew, or set it back"
            )


def _progress_writer(spec: TrainSpec) -> Callable[[int, int], None]:
    path = spec.logs / MEMORY_PROGRESS

    def write(done: int, total: int) -> None:
        partial = path.with_name(f".{path.name}.tmp")
        partial.write_text(json.dumps({"done": done, "total": total}), encoding="utf-8")
        os.replace(partial, path)

    return write
