"""The report: one self-contained page from summary, predictions and manifests.

It needs neither model nor torch, so it can be rebuilt wherever the workspace is.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.evaluation.captions import ALONE, place_of, pool_words
from tasks.evaluation.charts import curve_chart
from tasks.evaluation.names import METRIC_GROUPS, SYSTEM_WORDS, names_of
from tasks.evaluation.places import evaluation_folder
from tasks.evaluation.published import published
from tasks.evaluation.reconstruction import reconstruction_parts
from tasks.evaluation.report_parts import (
    benchmark_parts,
    leaderboard,
    rate_charts,
    system_styles,
)
from tasks.manifests import read_manifest
from tasks.plan import build_plan
from tasks.storage import Record, read_records, write_text
from tasks.workspace import Workspace

_TEMPLATE = "report.html.j2"
_ITEMS_SHOWN = 5


def write_report(config: PipelineConfig, workspace: Workspace) -> Path:
    """Write the evaluation's report.html and return its path.

    Raises:
        DataError: If there is no summary of an evaluation.
    """
    folder = evaluation_folder(config, workspace)
    path = folder / "summary.json"
    if not path.is_file():
        raise DataError(f"{path}: nothing evaluated yet; run `clara evaluate` first")
    summary = json.loads(path.read_text(encoding="utf-8"))
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    names = names_of(summary)
    is_own = summary["own"] and summary["name"] is None
    page = environment().get_template(_TEMPLATE).render(
        names=names,
        styles=system_styles(summary),
        system_words=SYSTEM_WORDS,
        group_words=METRIC_GROUPS,
        summary=summary,
        model=summary["model"] if summary["own"] else None,
        systems=summary["systems"],
        leaderboard=leaderboard(summary),
        rates=rate_charts(summary, names),
        steps=_steps(config, workspace) if is_own else [],
        rejects=_rejects(workspace) if is_own else [],
        is_own=is_own,
        losses=_losses(summary, names),
        headlines=_headlines(summary, names) if is_own else [],
        benchmarks=benchmark_parts(summary, folder, names),
        costs=_costs(summary),
        reconstruction=reconstruction_parts(summary, folder, index),
        alone=ALONE,
        paper=published(),
        notes=[note["text"] for note in summary["notes"] if note["about"] == "all"],
    )  # fmt: skip
    report = folder / "report.html"
    write_text(report, page)
    return report


def environment() -> Environment:
    """How pages are filled in: everything escaped, no name left undefined."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _steps(config: PipelineConfig, workspace: Workspace) -> list[Record]:
    """Finished steps up to the index, with what they counted."""
    steps = []
    for name, step in build_plan(config, workspace).items():
        manifest = read_manifest(workspace, name)
        if manifest is None or name in ("evaluate", "report"):
            continue
        counts = [
            (
                key.replace("_", " "),
                f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}",
            )
            for key, value in manifest["counts"].items()
        ]
        steps.append(
            {"name": name, "title": step.title, "seconds": manifest["seconds"], "counts": counts}
        )
    return steps


def _rejects(workspace: Workspace) -> list[Record]:
    """Items set aside, by step and reason, the most frequent first."""
    if not workspace.rejected.is_file():
        return []
    rows = read_records(workspace.rejected)
    counted = Counter((row["step"], row["reason"]) for row in rows)
    return [
        {
            "step": step,
            "reason": reason,
            "count": count,
            "items": [
                row["item"] for row in rows if (row["step"], row["reason"]) == (step, reason)
            ][:_ITEMS_SHOWN],
        }
        for (step, reason), count in counted.most_common()
    ]


def _losses(summary: dict[str, Any], names: dict[str, str]) -> list[Record]:
    return [
        {
            "name": names[stage],
            "chart": curve_chart(loss["curve"], f"loss of {names[stage]} by step"),
            "top": max(value for _, value in loss["curve"]),
            **loss,
        }
        for stage, loss in summary["losses"].items()
    ]


def _headlines(summary: dict[str, Any], names: dict[str, str]) -> list[Record]:
    """The few figures to look at first: the compressed gold document, and the retriever's way."""
    found = []
    scores = {(r["benchmark"], r["setting"], r["system"]): r for r in summary["scores"]}
    ranks = {(r["benchmark"], r["setting"], r["system"]): r for r in summary["retrieval"]}
    for benchmark in dict.fromkeys(b["name"] for b in summary["benchmarks"]):
        for system in ("stage1", "stage2"):
            row = scores.get((benchmark, "gold", system)) or scores.get(
                (benchmark, "oracle", system)
            )
            if row and "em" in row["metrics"]:
                words = f"exact match of {names[system]} reading the compressed gold passage"
                found.append(_headline(names[benchmark], row, "em", words))
        before, after = (ranks.get((benchmark, "oracle", s)) for s in ("encoder", "stage3"))
        if before and after:
            was = before["metrics"]["recall@1"]["value"]
            words = f"Recall@1 of stage 3; before stage 3 it was {was:.2f}"
            found.append(_headline(names[benchmark], after, "recall@1", words))
    return found


def _headline(benchmark: str, row: Record, metric: str, words: str) -> Record:
    return {"benchmark": benchmark, "words": words, "n": row["n"], **row["metrics"][metric]}


def _costs(summary: dict[str, Any]) -> list[Record]:
    """Measured costs by benchmark and setting."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for cost in summary["costs"]:
        groups.setdefault((cost["benchmark"], cost["setting"]), []).append(cost)
    return [
        {
            "benchmark": benchmark,
            "setting": setting,
            "rows": rows,
            "caption": pool_words(place_of(summary, benchmark, setting), summary),
        }
        for (benchmark, setting), rows in groups.items()
    ]
