"""What requests took: by section of the configuration and model, over all runs of a workspace."""

from __future__ import annotations

from typing import Any

from clara_model.rows import read_jsonl
from configs.base import EndpointSettings
from configs.schema import PipelineConfig
from tasks.storage import Record
from tasks.workspace import Workspace


def gather_spending(config: PipelineConfig, workspace: Workspace) -> list[Record]:
    """Requests, tokens and US dollars; `cost_usd` is None where a price is not known.

    Where no ledger was kept, tokens are those noted beside each passage's questions.
    """
    from tasks.llm.spending import Spending

    rows = []
    folder = workspace.cache / "spent"
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        settings = _section(config, path.stem)
        if settings is None:
            continue
        spending = Spending(settings, path.stem, folder)
        for model, used in spending.total.items():
            cost, unknown = spending.cost({model: used})
            rows.append(
                {
                    "section": path.stem, "model": model, "requests": used.requests,
                    "prompt_tokens": used.prompt_tokens,
                    "completion_tokens": used.completion_tokens,
                    "cost_usd": None if unknown else round(cost, 6),
                }
            )  # fmt: skip
    return rows or _from_synthesis(workspace)


def _section(config: PipelineConfig, name: str) -> EndpointSettings | None:
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None and name == "negatives.judge":  # then the endpoint of synthesis looks
        found = config.synthesis
    return found if isinstance(found, EndpointSettings) else None


def _from_synthesis(workspace: Workspace) -> list[Record]:
    used: dict[str, Record] = {}
    if workspace.synthesis.is_file():
        for _, row in read_jsonl(workspace.synthesis):
            is_free = row.get("provider") == "embedded"
            model, tokens = str(row.get("model", "not told")), row.get("tokens") or {}
            entry = used.setdefault(
                model,
                {"section": "synthesis", "model": model, "requests": None, "prompt_tokens": 0,
                 "completion_tokens": 0, "cost_usd": 0.0 if is_free else None},
            )  # fmt: skip
            entry["prompt_tokens"] += tokens.get("prompt", 0)
            entry["completion_tokens"] += tokens.get("completion", 0)
    return list(used.values())
