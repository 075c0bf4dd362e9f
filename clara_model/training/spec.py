"""What one training process needs to know, as a JSON file. Free of torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from clara_model.config import ClaraConfig, Stage

MEMORY_PROGRESS = "memory.json"  # in the logs: documents compressed so far, and in all

# Neither places nor what follows decide what comes out of a training run.
_PLACES = {"documents", "world", "base", "init", "output", "work", "logs", "memory"}
_NEUTRAL = {
    "threads", "keep_checkpoints", "resume", "checkpoint_every", "checkpoint_minutes",
    "micro_batch_size", "num_processes", "nodes", "zero_stage", "offload", "gradient_checkpointing",
    "compile", "loss_chunk", "attention",
}  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelPart(_Part):
    """The model, as `ClaraConfig` names it."""

    doc_max_length: int
    compr_rate: int
    generation_top_k: int
    different_mem_tokens: bool = True
    memory_init: Literal["default", "normal"] = "default"
    lora_r: int = 16
    lora_alpha: int | None = None
    lora_dropout: float = 0.1
    lora_targets: list[str] | None = None
    train_also: list[str] = []
    quantization: Literal["none", "8bit", "4bit"] = "none"
    attention: Literal["auto", "flash_attention_2", "sdpa", "eager"] = "auto"
    trust_remote_code: bool = False


class StagePart(_Part):
    """How the stage trains; what only other stages use has a default.

    `batch_size` is global and in examples, `micro_batch_size` per forward pass and rank.
    """

    epochs: float = 1.0
    steps: int | None = None
    batch_size: int
    micro_batch_size: int | Literal["auto"] = "auto"
    learning_rate: float
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    checkpoint_every: int = 100
    checkpoint_minutes: float = 10.0
    eval_every: int = 0
    eval_rows: int = 64
    best_metric: Literal["loss", "em", "f1", "recall_at_1", "recall_at_k"] = "loss"
    early_stopping: int = 0
    keep: Literal["last", "best"] = "last"
    seed: int = 0
    mse_weight: float = 0.1
    temperature: float = 0.02
    decoder_init: Literal["stage1", "fresh"] = "stage1"
    query_init: Literal["encoder", "random"] = "encoder"
    data_mix: dict[str, float] = {}
    train_compressor: bool | None = None
    train_query_reasoner: bool = True
    train_decoder: bool = True


class TrainSpec(_Part):
    """One stage's training, resolved.

    Args:
        stage: Which one.
        documents: Rows of the user's documents.
        world: Rows of the generated world, or None.
        world_share: Share of the examples that come from the world.
        base: Folder of the base decoder and its tokenizer.
        init: Checkpoint that the stage starts from; None for a fresh model (stage 1).
        output: Folder of the trained checkpoint.
        work: Folder of the checkpoints on the way; removed at the end.
        logs: Folder of `metrics.jsonl` and the log; it stays.
        memory: Folder of the memory store (stage 3).
        inputs_hash: Hash of the contents of rows, base and starting point.
        num_processes: Ranks, of all machines.
        nodes: Machines.
        threads: CPU threads a rank; 0 leaves the choice to torch.
        precision: Of the frozen weights and of what is computed. In bf16 and fp16 the optimizer
            keeps the trained weights in float32 as well and updates those, in every ZeRO stage;
            the checkpoint holds them rounded.
        offload: What ZeRO keeps in main memory: the optimizer's states and float32 weights
            (ZeRO 1 and higher), or all weights (ZeRO 3). The optimizer is torch's on the CPU too.
        gradient_checkpointing: Recompute each layer's activations in the backward pass.
        compile: Compile the decoder's layers (not under ZeRO 3); generation stays uncompiled.
        loss_chunk: Answer tokens whose logits are in memory at a time.
        group_by_length: Batches of examples of like length; off for plain shuffling.
    """

    stage: Stage
    documents: Path
    world: Path | None = None
    world_share: float = 0.0
    base: Path
    init: Path | None = None
    output: Path
    work: Path
    logs: Path
    memory: Path | None = None
    inputs_hash: str = ""
    model: ModelPart
    training: StagePart
    num_processes: int = 1
    nodes: int = 1
    zero_stage: Literal[0, 1, 2, 3] = 2
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    threads: int = 0
    offload: Literal["none", "optimizer", "all"] = "none"
    gradient_checkpointing: bool = False
    compile: bool = False
    loss_chunk: int = 1024
    group_by_length: bool = True
    keep_checkpoints: int = 2
    resume: Literal["refuse", "restart", "continue"] = "refuse"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, by the keys of the configuration, and the inputs' hash.

        The number of ranks, the micro-batch and how memory is saved are left out. They change a
        result's last digits only, where `lora_dropout` is 0; above 0 the cut into micro-batches
        and ranks decides dropout's masks, too: another sample of the same training.
        """
        value = self.model_dump(mode="json", exclude=_PLACES | _NEUTRAL)
        value["world.share"] = value.pop("world_share")
        flat = {f"training.{self.stage}.{key}": setting for key, setting in
                value.pop("training").items() if key not in _NEUTRAL}  # fmt: skip
        flat |= {f"model.{key}": setting for key, setting in value.pop("model").items()
                 if key not in _NEUTRAL}  # fmt: skip
        own = {key: value.pop(key) for key in ("stage", "inputs_hash")}
        return own | flat | {f"training.{key}": setting for key, setting in value.items()}

    @property
    def identity(self) -> str:
        """Hash of the settings; a checkpoint is resumed only under the same one."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    @property
    def layout(self) -> dict[str, Any]:
        """How optimizer state is cut; it can be read back only under the same one."""
        return {
            "ranks": self.num_processes,
            "ZeRO stage": self.zero_stage,
            "offload": self.offload,
        }

    @property
    def ranks_per_node(self) -> int:
        """Ranks on each machine."""
        return self.num_processes // self.nodes

    @property
    def metrics_path(self) -> Path:
        """One JSON line a step."""
        return self.logs / "metrics.jsonl"

    @property
    def log_path(self) -> Path:
        """Everything that the processes write."""
        return self.logs / "train.log"

    @property
    def stopped_path(self) -> Path:
        """After which step the processes stopped because they were asked to."""
        return self.work / "stopped.txt"

    def error_path(self, rank: int) -> Path:
        """What a rank died of."""
        return self.work / f"error-{rank}.txt"

    def clara_config(self) -> ClaraConfig:
        """The configuration of a fresh model."""
        how_to_load = {"train_also", "quantization", "attention", "trust_remote_code"}
        own: dict[str, Any] = self.model.model_dump(exclude=how_to_load)
        return ClaraConfig(
            **own,
            decoder_model_name=str(self.base),
            mse_weight=self.training.mse_weight,
            topk_temperature=self.training.temperature,
            init_seed=self.training.seed,
            stage=self.stage,
        )
