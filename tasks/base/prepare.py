"""The base decoder and its tokenizer: built on the spot, or brought in from a folder or the hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clara_model.errors import CheckpointError, ConfigError
from configs.schema import ModelSettings, PipelineConfig
from tasks.base.losses import keep_losses
from tasks.captioning.insert import insert_captions
from tasks.progress import progress
from tasks.storage import Record, StepResult, read_records
from tasks.workspace import Workspace

# Weights only as safetensors: a pickle from the hub would run code while it loads.
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.py"]


_KEEP_EVERY = 20  # steps between two writes of the loss curve


def prepare_tokenizer(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Write the base's tokenizer to models/tokenizer.

    The built-in one is trained on the user's texts and the generated world; another base's is
    loaded and saved in the fast form that the passages step reads.

    Raises:
        ConfigError: If `model.base` cannot be loaded.
    """
    target = workspace.models / "tokenizer"
    with _replacing(target) as folder:
        if config.model.base == "built-in":
            from clara_model.base.tokenizer import train_tokenizer

            built_in = config.model.built_in
            train_tokenizer(
                user_texts(workspace),
                folder,
                vocab_size=built_in.vocab_size,
                extended=built_in.hops > 1,
            )
        else:
            _save_tokenizer(config.model, folder)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    return StepResult({"vocabulary": tokenizer.get_vocab_size()})


def prepare_base(
    config: PipelineConfig,
    workspace: Workspace,
    on_metrics: Callable[[list[Record]], None] | None = None,
) -> StepResult:
    """Write the base decoder to models/base: pretrained on the spot, or brought in.

    Args:
        config: The pipeline's settings.
        workspace: Where documents and tokenizer lie.
        on_metrics: Given the loss of every step when pretraining is over.

    Raises:
        ConfigError: If `model.base` is neither `built-in`, a folder, nor an id the hub gives.
    """
    target = workspace.models / "base"
    if config.model.base == "built-in":
        return _pretrain(config, workspace, target, on_metrics)
    with _replacing(target) as folder:
        source = Path(config.model.base)
        if source.is_dir():
            _link_files(source, folder)
        else:
            _download(config.model.base, folder)
        if not (folder / "config.json").is_file():
            raise ConfigError(f"model.base: {config.model.base} holds no config.json")
    return StepResult({"bytes": sum(p.stat().st_size for p in target.rglob("*") if p.is_file())})


def user_texts(workspace: Workspace) -> list[str]:
    """The texts of all the user's documents, captions in the place of their images."""
    captions = {
        row["image"]: row["caption"]
        for row in read_records(workspace.captions)
        if row["status"] == "captioned"
    }
    rows = read_records(workspace.raw_knowledge)
    return [insert_captions(row["content"], captions) for row in rows]


def _pretrain(
    config: PipelineConfig,
    workspace: Workspace,
    target: Path,
    on_metrics: Callable[[list[Record]], None] | None,
) -> StepResult:
    import torch

    from clara_model.base.pretrain import pretrain_base

    settings = config.model.built_in
    curve = workspace.logs / "base" / "metrics.jsonl"
    lines: list[Record] = []
    with progress("pretraining the built-in decoder", settings.steps) as advance:

        def on_progress(report: Record) -> None:
            before = lines[-1]["step"] if lines else 0
            advance(report["step"] - before, note=f"loss {report['loss']:.3f}")
            lines.append({"step": report["step"], "loss": report["loss"]})
            if len(lines) % _KEEP_EVERY == 0:
                keep_losses(curve, lines)

        result = pretrain_base(
            workspace.models / "tokenizer",
            target,
            settings,
            user_texts=user_texts(workspace),
            world_share=config.training.world.share,
            device="cuda" if torch.cuda.is_available() else "cpu",
            on_progress=on_progress,
        )
    keep_losses(curve, lines)
    if on_metrics is not None and curve.is_file():
        on_metrics(read_records(curve))
    return StepResult(
        {
            "steps": result["steps"],
            "parameters": result["parameters"],
            "loss_first": result["first_loss"],
            "loss_last": result["last_loss"],
        }
    )


def _save_tokenizer(model: ModelSettings, folder: Path) -> None:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            model.base, trust_remote_code=model.trust_remote_code
        )
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"model.base: no tokenizer could be loaded from {model.base}: {err}"
        ) from err
    tokenizer.save_pretrained(folder)
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(f"model.base: {model.base} has no fast tokenizer (tokenizer.json)")


def _download(base: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        snapshot_download(base, local_dir=folder, allow_patterns=_HUB_FILES)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as err:
        raise ConfigError(
            f"model.base: '{base}' is neither a folder here nor a model that the hub gives ({err})"
        ) from err


def _link_files(source: Path, folder: Path) -> None:
    """Hard links where the file system allows, copies elsewhere: a base may be many gigabytes."""
    for path in source.iterdir():
        if not path.is_file():
            continue
        try:
            os.link(path.resolve(), folder / path.name)
        except OSError:
            shutil.copy2(path, folder / path.name)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the target's place when the block succeeds."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    yield fresh
    if not any(fresh.iterdir()):
        raise CheckpointError(f"{target}: nothing was written")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
