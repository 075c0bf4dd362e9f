"""The model's configuration and its file form, the released `config.json`. Free of torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from clara_model.errors import CheckpointError, ConfigError

Stage = Literal["stage1", "stage2", "stage3"]
STAGES: tuple[Stage, ...] = ("stage1", "stage2", "stage3")

CONFIG_FILE = "config.json"
MODEL_TYPE = "CLaRa"

# The released code counts instruction tuning as a part of stage 1, so its numbers end at 2.
_RELEASED_STAGE: dict[Stage, str] = {"stage1": "stage1", "stage2": "stage1_2", "stage3": "stage2"}
_STAGE_OF_RELEASED = {released: stage for stage, released in _RELEASED_STAGE.items()}

# Fields that the released code reads at loading and that have one meaningful value here.
_RELEASED_FIELDS: dict[str, Any] = {
    "ae_mode": "token",
    "compr_model_name": None,
    "compr_use_mlp": False,
    "kbtc_training": False,
    "load_adapters": True,
    "lora": True,
    "lora_compressor": False,
    "quantization": "no",
    "training_form": "both_separately",
}
# Released variants that are another model; loading them as this one would be silently wrong.
_REQUIRED_VALUES: dict[str, Any] = {
    "compr_model_name": None,
    "lora": True,
    "training_form": "both_separately",
}


@dataclass
class ClaraConfig:
    """What a CLaRa model is, apart from its weights.

    Field names are those of the released `config.json`; `extra` holds the fields of a file that
    nothing here reads, so that writing it back loses nothing.

    Args:
        decoder_model_name: Hub id of the decoder, or a folder (relative: seen from the folder that
            holds the checkpoint).
        doc_max_length: L, document tokens that the compressor reads.
        compr_rate: r, document tokens for each memory token. A document has n = L // r of them:
            where r does not divide L, the remainder is dropped (L=100, r=32: 3 memory tokens), so
            that checkpoints of any writer load. A pipeline's configuration refuses such a pair, as
            it gives another rate than it says (100 / 3 = 33.3).
        generation_top_k: k, documents given to the generator in stage 3.
        lora_r: Rank of every adapter.
        lora_alpha: Scale of every adapter; None for twice the rank.
        lora_dropout: Dropout in front of every adapter, in training.
        lora_targets: Last name parts of the adapted layers; None for all linear layers.
        mse_weight: Weight of the MSE loss in stages 1 and 2.
        topk_temperature: Temperature of the differentiable top-k.
        different_mem_tokens: n tokens `<MEM0>`..., or one `<MEM>` repeated n times.
        sep: Whether a document's slot ends with `<SEP>`.
        optimize_mem_tokens: Whether stages 1 and 2 train the memory-token embeddings.
        memory_init: New memory tokens drawn from the vocabulary's statistics ("default"), or from
            N(0, 0.02) ("normal").
        init_seed: Seed of everything that is drawn for a fresh model or adapter.
        stage: The stage that the weights come from or are prepared for.
        extra: Fields of the file that are kept, not read.

    Raises:
        ConfigError: If a value is impossible; names the field.

    Source:
        arXiv 2511.18659, table 10, for the defaults.
    """

    decoder_model_name: str = ""
    doc_max_length: int = 256
    compr_rate: int = 32
    generation_top_k: int = 5
    lora_r: int = 16
    lora_alpha: int | None = None
    lora_dropout: float = 0.1
    lora_targets: list[str] | None = None
    mse_weight: float = 0.1
    topk_temperature: float = 0.02
    different_mem_tokens: bool = True
    sep: bool = True
    optimize_mem_tokens: bool = True
    memory_init: Literal["default", "normal"] = "default"
    init_seed: int = 0
    stage: Stage = "stage1"
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("doc_max_length", "compr_rate", "generation_top_k", "lora_r"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.num_memory_tokens < 1:
            raise ConfigError(
                f"compr_rate {self.compr_rate} leaves no memory token for doc_max_length "
                f"{self.doc_max_length}; lower the rate or raise the length"
            )
        if self.memory_init not in ("default", "normal"):
            raise ConfigError(f"memory_init is {self.memory_init!r}; choose 'default' or 'normal'")
        if self.stage not in STAGES:
            raise ConfigError(f"stage is {self.stage!r}; choose one of {', '.join(STAGES)}")
        if self.topk_temperature <= 0:
            raise ConfigError(f"topk_temperature is {self.topk_temperature}; it must be above 0")

    @property
    def num_memory_tokens(self) -> int:
        """Memory tokens per document: n = L // r."""
        return self.doc_max_length // self.compr_rate

    @property
    def adapter_alpha(self) -> int:
        """Scale of every adapter."""
        return 2 * self.lora_r if self.lora_alpha is None else self.lora_alpha

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClaraConfig:
        """Build from the fields of a `config.json`; fields nobody reads are kept in `extra`.

        Raises:
            ConfigError: If the file is of another model, or of a variant that is not supported.
        """
        values = dict(values)
        if values.pop("model_type", MODEL_TYPE) != MODEL_TYPE:
            raise ConfigError(f"model_type is not {MODEL_TYPE!r}: this is another model's config")
        for name, required in _REQUIRED_VALUES.items():
            if values.get(name, required) != required:
                raise ConfigError(
                    f"{name} is {values[name]!r}; only {required!r} is supported: "
                    "the other variants of the released code are other models"
                )
        released = values.pop("training_stage", None) or "stage1"
        if released not in _STAGE_OF_RELEASED:
            known = ", ".join(_STAGE_OF_RELEASED)
            raise ConfigError(f"training_stage is {released!r}; known are {known}")
        own = {f.name for f in fields(cls)} - {"extra", "stage"}
        read = {name: value for name, value in values.items() if name in own}
        extra = {name: value for name, value in values.items() if name not in own}
        return cls(**read, stage=_STAGE_OF_RELEASED[released], extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The fields of a `config.json`, sorted by name; the reverse of `from_dict`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        own["training_stage"] = _RELEASED_STAGE[own.pop("stage")]
        own["model_type"] = MODEL_TYPE
        return dict(sorted((_RELEASED_FIELDS | self.extra | own).items()))


def read_config(folder: Path) -> ClaraConfig:
    """Read the `config.json` of a checkpoint folder.

    Raises:
        CheckpointError: If there is none, or it is not JSON.
        ConfigError: If it is of another model, or a value is impossible.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; {folder} is not a CLaRa checkpoint")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as err:
        raise CheckpointError(f"{path}: not JSON ({err.msg}); write the checkpoint again") from err
    try:
        return ClaraConfig.from_dict(values)
    except ConfigError as err:
        raise ConfigError(f"{path}: {err}") from err


def write_config(config: ClaraConfig, folder: Path) -> None:
    """Write the `config.json` of a checkpoint folder."""
    text = json.dumps(config.to_dict(), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
