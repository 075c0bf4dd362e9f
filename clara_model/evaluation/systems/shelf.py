"""How systems are opened, and the models that they share."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara_model.config import CONFIG_FILE, MODEL_TYPE, ClaraConfig, read_config
from clara_model.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from clara_model.evaluation.systems.memories import Memories
    from clara_model.modeling.clara import Clara


@dataclass(frozen=True)
class SystemOptions:
    """How systems are opened, apart from what their line says.

    Args:
        model: Decoder of `closed-book` and `text` where their part names none.
        base_model: Decoder of CLaRa checkpoints; None to follow their config.
        missing_base: Decoder of CLaRa checkpoints whose config names no folder that is here.
        k: Documents that a generator reads; None for a checkpoint's own, else 5.
        max_new_tokens: Length limit of an answer.
        batch_size: Questions at a time, halved where they do not fit.
        depth: Candidates that a reranker reads.
        lingua_rate: Share of tokens that LLMLingua-2 keeps.
        lists_questions: Ask CLaRa's stage 1 in the list form that it was taught.
        device: None for the CPU.
        dtype: "float32", "bfloat16", ...; None for the weights' own.
        attention: As in `Clara.from_pretrained`.
        quantization: Likewise.
        trust_remote_code: Whether code that comes with a model may run.
        memory_folder: Where memories are kept, a folder a compressor; None for main memory.
    """

    model: str | None = None
    base_model: str | None = None
    missing_base: str | None = None
    k: int | None = None
    max_new_tokens: int = 64
    batch_size: int = 16
    depth: int = 20
    lingua_rate: float = 0.25
    lists_questions: bool = True
    device: str | None = None
    dtype: str | None = None
    attention: Any = None
    quantization: Any = "none"
    trust_remote_code: bool = False
    memory_folder: Path | None = None


@dataclass
class ModelShelf:
    """Models that are loaded, so that systems around one decoder share it.

    Args:
        options: How to load them.
    """

    options: SystemOptions
    _claras: dict[str, Clara] = field(default_factory=dict, repr=False)
    _memories: dict[str, Memories] = field(default_factory=dict, repr=False)

    def config(self, folder: str) -> ClaraConfig:
        """Of a CLaRa checkpoint."""
        return read_config(Path(folder))

    def base(self, folder: str) -> str:
        """The decoder of a CLaRa checkpoint.

        Raises:
            CheckpointError: If its config names a folder that is not here, and none was given.
        """
        from clara_model.checkpoint import resolve_base

        return self._given_base(folder) or resolve_base(Path(folder), self.config(folder))

    def clara(self, folder: str) -> Clara:
        """A CLaRa checkpoint."""
        if folder not in self._claras:
            from clara_model.modeling.clara import Clara

            base = self._given_base(folder)
            self._claras[folder] = Clara.from_pretrained(folder, base, **self._how())
        return self._claras[folder]

    def bare(self, model: str) -> Clara:
        """A model whose adapters are not used: a CLaRa checkpoint, or a plain decoder.

        Through the same code as CLaRa's own answers, so that systems differ in what they read.
        """
        if is_clara(model):
            return self.clara(model)
        if model not in self._claras:
            from clara_model.modeling.clara import Clara

            self._claras[model] = Clara.from_base(model, ClaraConfig(lora_r=1), **self._how())
        return self._claras[model]

    def memories(self, folder: str) -> Memories:
        """The documents' memories of a CLaRa checkpoint."""
        if folder not in self._memories:
            from clara_model.evaluation.systems.memories import Memories
            from clara_model.memory import compressor_hash

            model, place = self.clara(folder), self.options.memory_folder
            if place is not None:
                place = place / f"memory-{compressor_hash(model)[:16]}"
            self._memories[folder] = Memories(model, place)
        return self._memories[folder]

    def clear(self) -> None:
        """Let go of all models; systems that are still held keep theirs."""
        self._claras.clear()
        self._memories.clear()

    def _given_base(self, folder: str) -> str | None:
        """The decoder that stands in for what a checkpoint's config names; None to follow it."""
        options, config = self.options, self.config(folder)
        if options.base_model is not None:
            return options.base_model
        if not config.decoder_model_name:
            return options.missing_base
        from clara_model.checkpoint import resolve_base

        name = resolve_base(Path(folder), config)
        if Path(name).is_dir():
            return None
        # A hub id is one name, or two with a slash.
        is_path = Path(name).is_absolute() or name.startswith(".") or name.count("/") > 1
        if options.missing_base is None and is_path:
            raise CheckpointError(
                f"{Path(folder) / CONFIG_FILE}: decoder_model_name is {name}, a folder that is not "
                "here; give the decoder's folder or hub id as base_model "
                "(--set evaluation.base_model=FOLDER_OR_ID)"
            )
        return options.missing_base

    def _how(self) -> dict[str, Any]:
        options = self.options
        return {
            "dtype": options.dtype,
            "device": options.device,
            "attention": options.attention,
            "trust_remote_code": options.trust_remote_code,
            "quantization": options.quantization,
        }


def is_clara(model: str) -> bool:
    """Whether a model is the folder of a CLaRa checkpoint, in any layout."""
    path = Path(model) / CONFIG_FILE
    if not path.is_file():
        return False
    return bool(json.loads(path.read_text(encoding="utf-8")).get("model_type") == MODEL_TYPE)


def checkpoint_folder(model: str) -> str:
    """A model's folder; of a released repository the folder inside that holds its checkpoint.

    Raises:
        ConfigError: If the repository holds several, as `apple/CLaRa-7B-*` do.
    """
    folder = Path(model)
    if not folder.is_dir() or (folder / CONFIG_FILE).is_file():
        return model
    inside = [str(place) for place in sorted(folder.iterdir()) if is_clara(str(place))]
    if len(inside) > 1:
        raise ConfigError(f"{folder} holds several checkpoints; name one: {', '.join(inside)}")
    return inside[0] if inside else model
