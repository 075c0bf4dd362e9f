"""The report: one self-contained page from summary, predictions and manifests.

It needs neither model nor torch, so it can be rebuilt wherever the workspace is.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.evaluation.charts import Bar, bar_chart, curve_chart
from tasks.evaluation.examples import choose_examples
from tasks.evaluation.names import NAMES, SYSTEM_WORDS, setting_words
from tasks.manifests import read_manifest
from tasks.plan import build_plan
from tasks.storage import Record, read_records, write_text
from tasks.workspace import Workspace

_TEMPLATE = "report.html.j2"
_ITEMS_SHOWN = 5


def write_report(config: PipelineConfig, workspace: Workspace) -> Path:
    """Write evaluation/report.html and return its path.

    Raises:
        DataError: If there is no summary of an evaluation.
    """
    path = workspace.evaluation / "summary.json"
    if not path.is_file():
        raise DataError(f"{path}: nothing evaluated yet; run `clara evaluate` first")
    summary = json.loads(path.read_text(encoding="utf-8"))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(_TEMPLATE).render(
        names=NAMES,
        system_words=SYSTEM_WORDS,
        model=summary["model"],
        steps=_steps(config, workspace),
        rejects=_rejects(workspace),
        losses=_losses(summary),
        headlines=_headlines(summary),
        benchmarks=[_benchmark(name, summary, workspace) for name in _benchmark_names(summary)],
        notes=[note["text"] for note in summary["notes"] if note["about"] == "all"],
    )
    report = workspace.evaluation / "report.html"
    write_text(report, page)
    return report


def _benchmark_names(summary: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(benchmark["name"] for benchmark in summary["benchmarks"]))


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


def _losses(summary: dict[str, Any]) -> list[Record]:
    return [
        {
            "name": NAMES[stage],
            "chart": curve_chart(loss["curve"], f"loss of {NAMES[stage]} by step"),
            "top": max(value for _, value in loss["curve"]),
            **loss,
        }
        for stage, loss in summary["losses"].items()
    ]


def _headlines(summary: dict[str, Any]) -> list[Record]:
    """The few figures to look at first: the compressed gold document, and the retriever's way."""
    found = []
    scores = {(r["benchmark"], r["setting"], r["system"]): r for r in summary["scores"]}
    ranks = {(r["benchmark"], r["setting"], r["system"]): r for r in summary["retrieval"]}
    for benchmark in _benchmark_names(summary):
        for system in ("stage1", "stage2"):
            row = scores.get((benchmark, "gold", system)) or scores.get(
                (benchmark, "oracle", system)
            )
            if row:
                words = f"exact match of {NAMES[system]} reading the compressed gold passage"
                found.append(_headline(benchmark, row, "em", words))
        before, after = (ranks.get((benchmark, "oracle", s)) for s in ("encoder", "stage3"))
        if before and after:
            was = before["metrics"]["recall@1"]["value"]
            words = f"Recall@1 of stage 3; before stage 3 it was {was:.2f}"
            found.append(_headline(benchmark, after, "recall@1", words))
    return found


def _headline(benchmark: str, row: Record, metric: str, words: str) -> Record:
    return {"benchmark": NAMES[benchmark], "words": words, "n": row["n"], **row["metrics"][metric]}


def _benchmark(name: str, summary: dict[str, Any], workspace: Workspace) -> Record:
    """One benchmark's part of the page."""
    pools = [row for row in summary["benchmarks"] if row["name"] == name]
    pools.sort(key=lambda row: row["setting"] != "oracle")
    scores = [row for row in summary["scores"] if row["benchmark"] == name]
    settings = dict.fromkeys(row["setting"] for row in scores)
    k = summary["model"]["generation_top_k"]
    return {
        "id": name,
        "name": NAMES[name],
        "pools": pools,
        "notes": [note["text"] for note in summary["notes"] if note["about"] == name],
        "settings": [
            {
                "name": setting,
                "words": setting_words(setting, k),
                "rows": [row for row in scores if row["setting"] == setting],
            }
            for setting in settings
        ],
        "retrieval": [
            {"name": pool["setting"], "n": rows[0]["n"], "chart": _recall_chart(rows), "rows": rows}
            for pool in pools
            if (rows := _retrieval_rows(summary, name, pool["setting"]))
        ],
        "comparisons": [row for row in summary["comparisons"] if row["benchmark"] == name],
        "examples": choose_examples(workspace, name),
    }


def _retrieval_rows(summary: dict[str, Any], name: str, setting: str) -> list[Record]:
    return [
        row for row in summary["retrieval"] if (row["benchmark"], row["setting"]) == (name, setting)
    ]


def _recall_chart(rows: list[Record]) -> Markup:
    bars = [
        Bar(NAMES[row["system"]], **row["metrics"]["recall@1"], style=row["system"]) for row in rows
    ]
    return bar_chart(bars, "Recall@1 by retriever")
