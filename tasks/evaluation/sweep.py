"""What a sweep shows: the scores of its variants side by side, as JSON and as one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks.evaluation.charts import Line, line_chart
from tasks.evaluation.names import NAMES, setting_words
from tasks.evaluation.places import evaluation_folder
from tasks.evaluation.report import environment
from tasks.storage import Record, write_json, write_text
from tasks.sweep import list_variants
from tasks.workspace import Workspace

# What a page draws: (table of the summary, metric, who is worth a line).
_CHARTS = (
    ("scores", "em", ("stage1", "stage2", "stage3", "full_text", "closed_book")),
    ("retrieval", "recall@1", ("stage3", "encoder", "bm25", "chance")),
    ("reconstruction", "reconstruction.rougeL", ("stage1", "stage2", "stage3", "another")),
)


def write_sweep(config: PipelineConfig, workspace: Workspace) -> Path:
    """Write sweep.json and sweep.html beside the variants, and return the page's path.

    Variants without an evaluation are named in `missing` and left out.
    """
    assert config.sweep is not None
    sweep: Record = {
        "key": config.sweep.key, "variants": [], "missing": [], "leads": {}, "titles": {},
    }  # fmt: skip
    for variant in list_variants(config, workspace):
        folder = evaluation_folder(config, variant.workspace)
        path = folder / "summary.json"
        if not path.is_file():
            sweep["missing"].append(variant.label)
            continue
        summary = json.loads(path.read_text(encoding="utf-8"))
        place = {
            "value": variant.value,
            "label": variant.label,
            "workspace": str(variant.workspace.root.relative_to(workspace.root)),
            "report": (folder / "report.html").relative_to(workspace.root).as_posix(),
        }
        own = {name: summary[name] for name in ("model", "scores", "retrieval")}
        own["reconstruction"] = [
            {**row, "setting": "reconstruction"} for row in summary.get("reconstruction", ())
        ]
        sweep["variants"].append({**place, **own})
        for benchmark in summary.get("benchmarks", ()):
            sweep["leads"][benchmark["name"]] = benchmark.get("lead", "em")
            if benchmark.get("title"):
                sweep["titles"][benchmark["name"]] = benchmark["title"]
    write_json(workspace.root / "sweep.json", sweep)
    page = workspace.root / "sweep.html"
    template = environment().get_template("sweep.html.j2")
    parts = _parts(sweep)
    names = {part["metric"]: part["metric"] for part in parts} | NAMES | sweep["titles"]
    write_text(page, template.render(sweep=sweep, parts=parts, names=names))
    return page


def tabulate(sweep: Record) -> list[Record]:
    """A row a variant for every benchmark, setting and leading metric; missing scores are None.

    Returns:
        Tables with `benchmark`, `setting`, `metric`, `n`, `systems`, and `rows` of (value, metric
        of each system).
    """
    tables, leads = [], sweep.get("leads", {})
    for source, usual, systems in _CHARTS:
        found = {
            (variant["label"], row["benchmark"], row["setting"], row["system"]): row
            for variant in sweep["variants"]
            for row in variant.get(source, ())
        }
        places = dict.fromkeys(key[1:3] for key in found)
        for benchmark, setting in places:
            there = {key[3] for key in found if key[1:3] == (benchmark, setting)}
            shown = [system for system in systems if system in there]
            if not shown:
                continue
            metric = leads.get(benchmark, usual) if source == "scores" else usual
            rows = []
            for variant in sweep["variants"]:
                own = [found.get((variant["label"], benchmark, setting, s)) for s in shown]
                rows.append((variant["value"], [row and row["metrics"].get(metric) for row in own]))
            n = max(row["n"] for key, row in found.items() if key[1:3] == (benchmark, setting))
            tables.append({"benchmark": benchmark, "setting": setting, "metric": metric, "n": n,
                           "systems": shown, "rows": rows})  # fmt: skip
    return tables


def _parts(sweep: Record) -> list[dict[str, Any]]:
    """Every table with its chart and its words."""
    parts = []
    for table in tabulate(sweep):
        labels = [str(value) for value, _ in table["rows"]]
        lines = [
            Line(NAMES[system], [metrics[place] for _, metrics in table["rows"]], system)
            for place, system in enumerate(table["systems"])
        ]
        title = f"{NAMES.get(table['metric'], table['metric'])} by {sweep['key']}"
        k = max(variant["model"]["generation_top_k"] for variant in sweep["variants"])
        words = setting_words(table["setting"], k)
        parts.append({**table, "chart": line_chart(lines, labels, title), "words": words})
    return parts
