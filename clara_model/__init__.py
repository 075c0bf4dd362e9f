"""The CLaRa model and everything it needs: model, rows, prompts, trainer, answering.

Names are resolved on first use, so that `import clara_model` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clara_model.config import ClaraConfig
    from clara_model.modeling.clara import Clara, ClaraOutput

_HOMES = {
    "Clara": "clara_model.modeling.clara",
    "ClaraConfig": "clara_model.config",
    "ClaraOutput": "clara_model.modeling.clara",
}

__all__ = ["Clara", "ClaraConfig", "ClaraOutput"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
