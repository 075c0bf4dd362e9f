"""The systems that are compared, behind one small interface: retrieve, answer.

`open_system("bm25+text:FOLDER")` opens one; `plan_systems` knows names and cache keys before
anything is loaded. A new kind of system is a `Retriever` or a `Generator`, see `interface`. Names
are resolved on first use, so that those without a model stay free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clara_model.evaluation.systems.clara import ClosedBook, Compressed, FullText
    from clara_model.evaluation.systems.clara_retriever import ClaraRetriever, score_candidates
    from clara_model.evaluation.systems.interface import (
        Generator,
        Ranking,
        Retriever,
        System,
        make_ranking,
        rank,
    )
    from clara_model.evaluation.systems.memories import Memories
    from clara_model.evaluation.systems.opening import (
        Opened,
        SystemPlan,
        open_system,
        plan_systems,
    )
    from clara_model.evaluation.systems.shelf import SystemOptions

_MODULES = {
    "clara": ("ClosedBook", "Compressed", "FullText"),
    "clara_retriever": ("ClaraRetriever", "score_candidates"),
    "memories": ("Memories",),
    "interface": ("Generator", "Ranking", "Retriever", "System", "make_ranking", "rank"),
    "opening": ("Opened", "SystemPlan", "open_system", "plan_systems"),
    "shelf": ("SystemOptions",),
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ClaraRetriever",
    "ClosedBook",
    "Compressed",
    "FullText",
    "Generator",
    "Memories",
    "Opened",
    "Ranking",
    "Retriever",
    "System",
    "SystemOptions",
    "SystemPlan",
    "make_ranking",
    "open_system",
    "plan_systems",
    "rank",
    "score_candidates",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
