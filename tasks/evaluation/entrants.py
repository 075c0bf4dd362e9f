"""Who is compared: the workspace's stages beside the bare decoder, or the systems that are named.

Nothing is loaded here: names, settings and keys are known without torch.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from clara_model.config import read_config
from clara_model.errors import CheckpointError, ConfigError
from clara_model.evaluation.systems.interface import slug
from clara_model.evaluation.systems.opening import Opener, SystemPlan, plan_systems
from clara_model.evaluation.systems.shelf import SystemOptions, checkpoint_folder, is_clara
from configs.schema import PipelineConfig
from tasks.evaluation.names import NAMES
from tasks.evaluation.places import progress_folder
from tasks.storage import Record
from tasks.workspace import Workspace

STAGES = ("stage1", "stage2", "stage3")
# The retriever that stage 3 starts from: the encoder adapter in the query reasoner's place.
BEFORE = "encoder"

# The first word of a system's line, as `clara_model.evaluation.systems.opening` reads it.
_KINDS = "closed-book|text|clara|pisco|openai|bm25|dense|encoder|reasoner|rerank|lingua"
_LINE = re.compile(rf"^({_KINDS})(?=[:+]|$)")
_KIND_IN_LINE = re.compile(rf"(?:^|\+)(?:{_KINDS})(?=[:+]|$):?")
_SMALL = 1024  # hidden size below which a decoder knows little of the world


@dataclass(frozen=True)
class Entrant:
    """A system that takes part.

    Args:
        id: In file names, summary and metrics.
        name: Where people read.
        plan: How it is opened.
        ranks_only: It is asked for rankings, not for answers.
    """

    id: str
    name: str
    plan: SystemPlan
    ranks_only: bool = False

    @cached_property
    def chooses(self) -> bool:
        """Whether it ranks the candidates by itself."""
        return self.plan.retrieves

    @cached_property
    def k(self) -> int:
        """Documents that its generator reads."""
        return self.plan.k

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides its predictions, weights by their hash."""
        return self.plan.settings | {"ranks_only": self.ranks_only}

    @property
    def reads_documents(self) -> bool:
        """Whether documents are given to it at all."""
        return self.plan.parts[-1].kind != "closed-book" or self.ranks_only

    @property
    def reads_memories(self) -> bool:
        """Whether its generator reads documents by their memories."""
        return self.plan.parts[-1].kind == "clara"

    @property
    def model(self) -> str:
        """The folder or id whose weights are loaded first: jobs that share it go together."""
        return next((part.model for part in reversed(self.plan.parts) if part.model), "")

    def describe(self) -> Record:
        """What summary and report say of it."""
        kind, model = self.plan.parts[-1]
        entry: Record = {
            "id": self.id, "name": self.name, "spec": self.plan.name, "k": self.k,
            "chooses": self.chooses, "ranks_only": self.ranks_only, "kind": kind,
            "stage": None, "rate": None, "memory_tokens": None, "small": _is_small(self.plan),
        }  # fmt: skip
        if kind == "clara":
            config = read_config(Path(model))
            entry |= {"stage": config.stage, "rate": config.compr_rate,
                      "memory_tokens": config.doc_max_length // config.compr_rate,
                      "doc_max_length": config.doc_max_length}  # fmt: skip
        elif kind == "text" and not any(part.kind == "lingua" for part in self.plan.parts):
            entry["rate"] = 1
        return entry


def list_entrants(
    config: PipelineConfig, workspace: Workspace, device: str | None = None
) -> list[Entrant]:
    """The systems that the settings ask for, in the order of tables.

    Args:
        config: `evaluation.systems` names them; none for the workspace's own.
        workspace: Where stages lie.
        device: Where models are put once opened; it is no part of any key.

    Raises:
        CheckpointError: If a stage has no checkpoint.
        ConfigError: If something named is neither a stage, a folder nor a system's line.
    """
    lines = config.evaluation.systems
    options = system_options(config, workspace, device)
    if not lines:
        return _of_workspace(config, workspace, options)
    specs = [resolve(line, workspace) for line in lines]
    plans = plan_systems(specs, options, _openers(config, workspace, specs))
    names = _distinct_names(plans)
    ids = [slug(name) for name in names]
    if twice := sorted(name for name, count in Counter(ids).items() if count > 1):
        raise ConfigError(f"evaluation.systems: {', '.join(twice)} is named more than once")
    return [Entrant(*given) for given in zip(ids, names, plans, strict=True)]


def system_options(
    config: PipelineConfig, workspace: Workspace, device: str | None = None
) -> SystemOptions:
    """How systems are opened, by the settings."""
    settings, base = config.evaluation, workspace.models / "base"
    is_own = not settings.systems
    return SystemOptions(
        model=str(base) if base.is_dir() else None,
        # A given folder says itself which decoder it belongs to.
        base_model=str(base) if is_own else None,
        missing_base=settings.base_model,
        k=settings.k or (config.model.generation_top_k if is_own else None),
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
        depth=settings.rerank_depth,
        lingua_rate=settings.lingua_rate,
        device=device,
        attention=config.model.attention,
        quantization=config.model.quantization,
        trust_remote_code=config.model.trust_remote_code,
        memory_folder=progress_folder(config, workspace),
    )


def choose_device() -> str:
    """Where models are put: "cuda" if there is one, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve(name: str, workspace: Workspace) -> str:
    """A stage of the workspace, a folder, or a system's line as a system's line.

    Raises:
        CheckpointError: If it is a stage without a checkpoint.
        ConfigError: If it is none of them, or a folder of several checkpoints.
    """
    if name in STAGES:
        return f"clara:{_stage_folder(workspace, name)}"
    if name == "base":
        return f"text:{_stage_folder(workspace, name)}"
    if _LINE.match(name):
        return name
    if is_clara(folder := checkpoint_folder(name)):
        return f"clara:{folder}"
    if (Path(name) / "config.json").is_file():
        return f"text:{name}"
    raise ConfigError(
        f"{name!r} is neither a stage of {workspace.models}, nor a folder with a model, nor a "
        "system's line such as bm25+text:FOLDER (docs/systems.md)"
    )


def named_models(line: str) -> list[str]:
    """Folders and ids that a stage's name, a folder or a system's line is made of."""
    return [word for word in _KIND_IN_LINE.split(line) if word]


def _of_workspace(
    config: PipelineConfig, workspace: Workspace, options: SystemOptions
) -> list[Entrant]:
    folder = {name: str(_stage_folder(workspace, name)) for name in ("base", *STAGES)}
    before = folder[config.training.stage3.init_from]
    # The bare decoder is loaded from its own folder: training a stage leaves it as it is.
    specs = {
        "closed_book": f"closed-book:{folder['base']}",
        "full_text": f"text:{folder['base']}",
        **{stage: f"clara:{folder[stage]}" for stage in STAGES},
        BEFORE: f"encoder:{before}+closed-book:{before}",
    }
    plans = plan_systems(list(specs.values()), options)
    return [
        Entrant(name, NAMES[name], plan, ranks_only=name == BEFORE)
        for name, plan in zip(specs, plans, strict=True)
    ]


def _stage_folder(workspace: Workspace, name: str) -> Path:
    folder = workspace.models / name
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: no model there; run `clara train {name}` first")
    return folder


def _openers(
    config: PipelineConfig, workspace: Workspace, specs: list[str]
) -> dict[str, Opener] | None:
    if not any("openai:" in spec for spec in specs):
        return None
    from tasks.evaluation.systems_openai import chat_opener

    return {"openai": chat_opener(config.evaluation.endpoint, workspace.cache)}


def _distinct_names(plans: list[SystemPlan]) -> list[str]:
    """Names as the plans give them; folders of one name get the folder above, too."""
    names = [plan.name for plan in plans]
    twice = {name for name, count in Counter(names).items() if count > 1}
    return [
        f"{plan.name} ({Path(plan.parts[-1].model).resolve().parent.name})"
        if plan.name in twice
        else plan.name
        for plan in plans
    ]


def _is_small(plan: SystemPlan) -> bool:
    """Whether its decoder is of a size that can be trained within minutes."""
    _, model = plan.parts[-1]
    folder = Path(plan.shelf.base(model) if model and is_clara(model) else model)
    path = folder / "config.json"
    if not path.is_file():
        return False
    width = json.loads(path.read_text(encoding="utf-8")).get("hidden_size") or _SMALL
    return int(width) < _SMALL
