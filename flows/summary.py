"""What a run says at its beginning and its end: the plan, and one table per part."""

from __future__ import annotations

import json
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.schema import PipelineConfig
from tasks.evaluation.captions import terminal_lines
from tasks.manifests import Manifest, Step, is_current, read_manifest, recorded_steps
from tasks.plan import STAGES
from tasks.workspace import Workspace

# Manifest counts shown in the data table: (row title, step, count).
_DATA_ROWS = (
    ("files found", "extract", "files"),
    ("documents extracted", "extract", "documents"),
    ("pages (of these by OCR)", "extract", "pages"),
    ("images", "extract", "images_embedded"),
    ("images captioned", "caption", "captioned"),
    ("passages", "passages", "passages"),
    ("held-out documents", "passages", "benchmark_documents"),
    ("simple questions", "synthesize", "simple"),
    ("complex questions", "synthesize", "complex"),
    ("questions over two passages", "synthesize", "joint"),
    ("cross-lingual questions", "synthesize", "cross_lingual"),
    ("unanswerable questions", "synthesize", "unanswerable"),
    ("paraphrases", "synthesize", "paraphrases"),
    ("rows, stage 1", "mine", "pretrain_rows"),
    ("rows, stage 2", "mine", "instruction_rows"),
    ("rows, stage 3", "mine", "end_to_end_rows"),
    ("rows of the generated world", "mine", "world_rows"),
    ("held-out questions", "mine", "benchmark_rows"),
    ("held-out questions without answer", "mine", "benchmark_unanswerable_rows"),
)

_NUMBER_COLUMNS = {
    "count", "steps", "loss first", "loss last", "seconds", "n", "exact match", "F1", "contains",
    "Recall@1", "R@3", "R@5", "MRR", "refused",
    "of", "in vain (documents, oracle)",
}  # fmt: skip

_SYSTEM_NAMES = {
    "closed_book": "no documents",
    "full_text": "full text",
    "bm25": "BM25",
    "encoder": "before stage3",
    "stage3": "stage 3",
    "stage2": "stage 2",
    "stage1": "stage 1",
}


def print_plan(console: Console, plan: dict[str, Step], workspace: Workspace) -> list[str]:
    """Show which steps are done and which will run; returns the names of the latter."""
    table = _table(f"Plan for {escape(str(workspace.root))}", "step", "what it does", "state")
    pending: list[str] = []
    for name, step in plan.items():
        # A step after one that will run reads what that one writes: its turn is open.
        done = is_current(step, workspace)
        if not done:
            pending.append(name)
        table.add_row(name, step.title, "[green]done[/]" if done else "[yellow]to do[/]")
    console.print(table)
    return pending


def print_summary(console: Console, config: PipelineConfig, workspace: Workspace) -> None:
    """The closing tables: data, rejects, losses, scores, times, and where to go on."""
    manifests = {name: read_manifest(workspace, name) or {} for name in recorded_steps(workspace)}
    for table in (
        _data_table(manifests),
        _rejects_table(workspace),
        _loss_table(manifests),
        _scores_table(workspace),
        _refusal_table(workspace),
        _retrieval_table(workspace),
    ):
        if table.row_count:
            console.print(table, *([""] if table.caption else []), sep="\n")
    console.print("Where things are")
    for what, place in _places(config, workspace):
        # Never folded: a folded path can be neither clicked nor copied.
        console.print(f"  {what:<12}{escape(place)}", soft_wrap=True, highlight=False)


def print_sweep(console: Console, workspace: Workspace) -> None:
    """One table a metric: a line for every value, a column for every system."""
    from tasks.evaluation.sweep import tabulate, verdicts

    sweep = json.loads((workspace.root / "sweep.json").read_text(encoding="utf-8"))
    for part in tabulate(sweep):
        systems = [_name(system) for system in part["systems"]]
        title = f"{part['metric']} ({part['benchmark']}, {part['setting']}, n = {part['n']})"
        table = _table(title, sweep["key"], *systems)
        said = verdicts(part, {system: _name(system) for system in part["systems"]})
        table.caption = escape("\n".join(filter(None, (part["pool"], said))))
        for value, metrics in part["rows"]:
            table.add_row(str(value), *(_interval(m) if m else "" for m in metrics))
        console.print(table)
    page = (workspace.root / "sweep.html").resolve().as_uri()
    console.print(f"All of it, with curves: {page}", soft_wrap=True, highlight=False)


def as_json(workspace: Workspace) -> str:
    """Counts, seconds and evaluation of a workspace as JSON, for scripts."""
    steps = {}
    for name in recorded_steps(workspace):
        manifest = read_manifest(workspace, name)
        if manifest is not None:
            steps[name] = {key: manifest[key] for key in ("counts", "seconds", "finished")}
    return json.dumps(
        {"workspace": str(workspace.root), "steps": steps, "evaluation": _evaluation(workspace)},
        ensure_ascii=False,
    )


def _data_table(manifests: dict[str, Manifest]) -> Table:
    table = _table("Data", "what", "count")
    for title, step, count in _DATA_ROWS:
        counts = manifests.get(step, {}).get("counts", {})
        if count in counts:
            value = _number(counts[count])
            if count == "pages":
                value += f" ({_number(counts.get('ocr_pages', 0))})"
            table.add_row(title, value)
    return table


def _rejects_table(workspace: Workspace) -> Table:
    from collections import Counter

    from clara_model.rows import read_jsonl

    table = _table("Set aside (rejected.jsonl)", "step", "count", "most frequent reason")
    if not workspace.rejected.is_file():
        return table
    reasons: dict[str, Counter[str]] = {}
    for _, row in read_jsonl(workspace.rejected):
        reasons.setdefault(row["step"], Counter())[row["reason"]] += 1
    for step, counter in reasons.items():
        reason, _ = counter.most_common(1)[0]
        table.add_row(escape(step), str(counter.total()), escape(reason[:90]))
    return table


def _loss_table(manifests: dict[str, Manifest]) -> Table:
    table = _table("Training", "stage", "steps", "loss first", "loss last", "seconds")
    for stage in ("base", *STAGES):
        manifest = manifests.get(stage)
        counts = manifest.get("counts", {}) if manifest else {}
        if manifest and "loss_last" in counts:
            table.add_row(
                stage,
                _number(counts["steps"]),
                f"{counts['loss_first']:.3f}",
                f"{counts['loss_last']:.3f}",
                f"{manifest['seconds']:.0f}",
            )
    return table


def _scores_table(workspace: Workspace) -> Table:
    """Exact match with its interval, F1 and containment, a line per benchmark and system."""
    table = _table(
        "Scores on held-out questions (95 % interval)", "benchmark", "setting", "system", "n",
        "exact match", "F1", "contains",
    )  # fmt: skip
    evaluation = _evaluation(workspace)
    # Those asked whether they refuse have a table of their own.
    rows = [row for row in evaluation.get("scores", []) if "em" in row["metrics"]]
    table.caption = escape(terminal_lines(evaluation, rows))
    for row in rows:
        metrics = row["metrics"]
        table.add_row(
            row["benchmark"], row["setting"], _name(row["system"]), str(row["n"]),
            _interval(metrics["em"]), _value(metrics["f1"]), _value(metrics["containment"]),
        )  # fmt: skip
    return table


def _refusal_table(workspace: Workspace) -> Table:
    """Who says so where nothing answers, and who says so in vain, with all golds read."""
    table = _table(
        "Says that the documents hold no answer (95 % interval)", "system", "n", "refused", "of",
        "in vain (documents, oracle)",
    )  # fmt: skip
    evaluation = _evaluation(workspace)
    rows = evaluation.get("scores", [])
    asked = [row for row in rows if row["setting"] == "unanswerable"]
    table.caption = escape(terminal_lines(evaluation, asked))
    places = {(r["benchmark"], r["setting"], r["system"]): r for r in rows}
    for (_, setting, system), row in places.items():
        if setting == "unanswerable":
            beside = places.get(("documents", "oracle", system), {"metrics": {}})
            false = beside["metrics"].get("false_refusal")
            table.add_row(
                _name(system), str(row["n"]), _interval(row["metrics"]["refused"]),
                *([str(false.get("n", beside["n"])), _interval(false)] if false else ["", ""]),
            )  # fmt: skip
    return table


def _retrieval_table(workspace: Workspace) -> Table:
    table = _table(
        "Gold passage among the candidates (95 % interval)", "benchmark", "setting", "retriever",
        "n", "Recall@1", "R@3", "R@5", "MRR",
    )  # fmt: skip
    evaluation = _evaluation(workspace)
    rows = evaluation.get("retrieval", [])
    table.caption = escape(terminal_lines(evaluation, rows))
    for row in rows:
        metrics = row["metrics"]
        table.add_row(
            row["benchmark"], row["setting"], _name(row["system"]), str(row["n"]),
            _interval(metrics["recall@1"]),
            *(_value(metrics[name]) for name in ("recall@3", "recall@5", "mrr")),
        )  # fmt: skip
    return table


def _places(config: PipelineConfig, workspace: Workspace) -> list[tuple[str, str]]:
    report = workspace.evaluation / "report.html"
    card = workspace.data_card / "card.html"
    return [
        ("workspace", str(workspace.root)),
        *([("data card", card.resolve().as_uri())] if card.is_file() else []),
        *([("report", report.resolve().as_uri())] if report.is_file() else []),
        ("MLflow", config.tracking.uri or "`clara ui`, then http://127.0.0.1:5000"),
    ]


def _evaluation(workspace: Workspace) -> dict[str, Any]:
    path = workspace.evaluation / "summary.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        is_number = column in _NUMBER_COLUMNS
        table.add_column(column, justify="right" if is_number else "left", no_wrap=is_number)
    return table


def _name(system: str) -> str:
    return _SYSTEM_NAMES.get(system, system)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"


def _value(metric: dict[str, float]) -> str:
    return f"{metric['value']:.2f}"


def _interval(metric: dict[str, float]) -> str:
    return f"{metric['value']:.2f} ({metric['low']:.2f}-{metric['high']:.2f})"
