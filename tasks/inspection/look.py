"""An inspection from start to page: load, gather candidates, look, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.evaluation.systems.interface import slug
from configs.schema import ModelSettings, PipelineConfig
from tasks.inspection.candidates import Document, nearest_passages, read_documents
from tasks.inspection.page import write_page
from tasks.travel.mirror import open_workspace
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from clara_model import Clara
    from clara_model.inspection import Inspection, RepresentationMap

_STAGES = ("stage1", "stage2", "stage3")


@dataclass(frozen=True)
class Looked:
    """What an inspection gives.

    Args:
        found: What the model makes of question and candidates.
        documents: The candidates, in the order of `found.candidates`.
        maps: Representations by the model's name, the inspected one first.
        page: The page that was written.
    """

    found: Inspection
    documents: list[Document]
    maps: dict[str, RepresentationMap]
    page: Path


def look_inside(
    config: PipelineConfig,
    question: str,
    *,
    model: str,
    documents: Sequence[Path] = (),
    compare: str | None = None,
    out: Path | None = None,
    top_tokens: int = 5,
) -> Looked:
    """Look at a question and its candidates, and write the page.

    Args:
        config: Workspace, and how its models are loaded.
        question: The question.
        model: A stage of the workspace, or a checkpoint's folder.
        documents: Files and folders of candidates; none for the workspace's nearest passages.
        compare: Another model, whose map stands beside.
        out: The page; None for the workspace's `inspection` folder.
        top_tokens: Tokens shown of each memory slot.

    Raises:
        CheckpointError: If a model cannot be loaded.
        DataError: If there is nothing to look at.
    """
    from clara_model.inspection import inspect_question, map_representations

    stages = [name for name in (model, compare) if name in _STAGES]
    needed = [f"models/{name}" for name in ("base", *stages)] if stages else []
    workspace = open_workspace(config, needed if documents else [*needed, "passages.jsonl"])
    loaded = _load(model, workspace, config.model)
    if documents:
        candidates = read_documents(documents, loaded.config.doc_max_length, _counter(loaded))
    else:
        candidates = nearest_passages(workspace, question, config.serving.top_n)
    texts = [document.text for document in candidates]
    found = inspect_question(loaded, question, texts, top_tokens=top_tokens)
    maps = {_name(model): found.map}
    if compare is not None:
        name = _name(compare)
        other = _load(compare, workspace, config.model)
        maps[compare if name in maps else name] = map_representations(other, texts)
    page = out or workspace.root / "inspection" / f"{slug(question)[:60]}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_page(page, found, candidates, maps, _facts(loaded, _name(model)))
    return Looked(found, candidates, maps, page)


def _load(model: str, workspace: Workspace, settings: ModelSettings) -> Clara:
    import torch

    from clara_model import Clara
    from tasks.indexing.build import load_model

    if model in _STAGES:
        return load_model(workspace, model, settings)
    return Clara.from_pretrained(
        model,
        device="cuda" if torch.cuda.is_available() else "cpu",
        attention=settings.attention,
        trust_remote_code=settings.trust_remote_code,
    )


def _counter(model: Clara) -> Callable[[str], int]:
    return lambda text: len(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _facts(model: Clara, name: str) -> dict[str, object]:
    config = model.config
    return {
        "model": name,
        "stage": config.stage,
        "base": Path(config.decoder_model_name).name,
        "memory_tokens": config.num_memory_tokens,
        "rate": config.compr_rate,
        "k": config.generation_top_k,
    }


def _name(model: str) -> str:
    return model if model in _STAGES else Path(model).name
