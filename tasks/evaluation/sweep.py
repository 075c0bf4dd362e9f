"""What a sweep shows: the scores of its variants side by side, as JSON and as one page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks.evaluation.captions import ALONE, place_of, pool_words
from tasks.evaluation.charts import Line, line_chart
from tasks.evaluation.names import NAMES, setting_words
from tasks.evaluation.places import evaluation_folder
from tasks.evaluation.report import environment
from tasks.evaluation.sweep_tests import RECONSTRUCTION, Asked, compare_with_first, read_values
from tasks.storage import Record, write_json, write_text
from tasks.sweep import Variant, list_variants
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
        "comparisons": [],
    }  # fmt: skip
    asked: list[tuple[str, Asked]] = []
    for variant in list_variants(config, workspace):
        folder = evaluation_folder(config, variant.workspace)
        path = folder / "summary.json"
        if not path.is_file():
            sweep["missing"].append(variant.label)
            continue
        summary = json.loads(path.read_text(encoding="utf-8"))
        sweep["variants"].append(_describe(variant, summary, folder, workspace))
        if values := read_values(config, folder):
            asked.append((variant.label, values))
        for benchmark in summary.get("benchmarks", ()):
            sweep["leads"][benchmark["name"]] = benchmark.get("lead", "em")
            if benchmark.get("title"):
                sweep["titles"][benchmark["name"]] = benchmark["title"]
    wanted = [
        ((table["benchmark"], table["setting"], system), table["metric"])
        for table in tabulate(sweep)
        for system in table["systems"]
    ]
    samples = config.evaluation.bootstrap_samples
    sweep["comparisons"] = compare_with_first(asked, wanted, samples)
    write_json(workspace.root / "sweep.json", sweep)
    page = workspace.root / "sweep.html"
    template = environment().get_template("sweep.html.j2")
    parts = _parts(sweep)
    names = {part["metric"]: part["metric"] for part in parts} | NAMES | sweep["titles"]
    write_text(page, template.render(sweep=sweep, parts=parts, names=names))
    return page


def _describe(variant: Variant, summary: Record, folder: Path, workspace: Workspace) -> Record:
    """One value's scores, and where its own page is."""
    return {
        "value": variant.value,
        "label": variant.label,
        "workspace": str(variant.workspace.root.relative_to(workspace.root)),
        "report": (folder / "report.html").relative_to(workspace.root).as_posix(),
        **{name: summary[name] for name in ("model", "scores", "retrieval")},
        "reconstruction": [
            {**row, "setting": RECONSTRUCTION} for row in summary.get("reconstruction", ())
        ],
        "pools": _pools(summary),
    }


def tabulate(sweep: Record) -> list[Record]:
    """A row a variant for every benchmark, setting and leading metric; missing scores are None.

    Returns:
        Tables with `benchmark`, `setting`, `metric`, `n`, `pool` (N, k and pool in words),
        `systems`, and `rows` of (value, metric of each system). A metric that was tested against
        the first value's holds the outcome as `test`.
    """
    tables, leads = [], sweep.get("leads", {})
    tests = {
        (row["label"], row["benchmark"], row["setting"], row["system"], row["metric"]): row
        for row in sweep["comparisons"]
    }
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
                cells: list[Record | None] = []
                for system in shown:
                    place = (variant["label"], benchmark, setting, system)
                    cell = found[place]["metrics"].get(metric) if place in found else None
                    test = tests.get((*place, metric))
                    cells.append({**cell, "test": test} if cell and test else cell)
                rows.append((variant["value"], cells))
            n = max(row["n"] for key, row in found.items() if key[1:3] == (benchmark, setting))
            pools = [v["pools"].get(f"{benchmark}/{setting}") for v in sweep["variants"]]
            tables.append({"benchmark": benchmark, "setting": setting, "metric": metric, "n": n,
                           "pool": " or ".join(dict.fromkeys(filter(None, pools))),
                           "systems": shown, "rows": rows})  # fmt: skip
    return tables


def verdicts(table: Record, names: Mapping[str, str]) -> str:
    """What the paired tests of a table say, in one sentence; empty where there are none."""
    tests = [
        (value, names[system], cell["test"])
        for value, cells in table["rows"]
        for system, cell in zip(table["systems"], cells, strict=True)
        if cell and "test" in cell
    ]
    if not tests:
        return ""
    said = [
        f"{value} {'higher' if test['value'] > 0 else 'lower'} in {name} (p = {test['p']:.3f})"
        for value, name, test in tests
        if test["shown"]
    ]
    if len(said) < len(tests):
        said.append(f"{'elsewhere ' if said else ''}no difference shown")
    return f"Paired test against {tests[0][2]['against']}: {'; '.join(said)}."


def _pools(summary: Record) -> Record:
    """N, k and pool of everything that a variant's tables hold, by benchmark and setting."""
    found = {}
    rows = (*summary["scores"], *summary["retrieval"]) if summary.get("benchmarks") else ()
    for row in rows:
        place = place_of(summary, row["benchmark"], row["setting"])
        found[f"{row['benchmark']}/{row['setting']}"] = pool_words(place, summary)
    for row in summary.get("reconstruction", ()):
        found[f"{row['benchmark']}/{RECONSTRUCTION}"] = ALONE
    return found


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
        ks = {variant["model"]["generation_top_k"] for variant in sweep["variants"]}
        words = setting_words(table["setting"], ks)
        parts.append({**table, "chart": line_chart(lines, labels, title), "words": words})
    return parts
