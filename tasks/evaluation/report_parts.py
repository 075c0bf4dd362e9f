"""What the report shows of scores: leaderboard, rate curves, and one part a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.evaluation.benchmarks import Benchmark
from tasks.evaluation.captions import caption, ks_read
from tasks.evaluation.charts import Bar, Line, bar_chart, line_chart
from tasks.evaluation.examples import choose_examples, count_disagreements
from tasks.evaluation.names import setting_words
from tasks.evaluation.places import prediction_path
from tasks.evaluation.published import published_rows
from tasks.evaluation.questions import read_questions
from tasks.evaluation.scores import RECALLS
from tasks.storage import Record, read_records

Summary = dict[str, Any]

_COLOURS = 8
# Columns of a table before its details: as many as can be read beside each other.
_PAPER = ("clara.acc", "clara.f1", "clara.em")
_FEWEST_BARS = 3
# Ends of an axis whose quarters have two decimals at most: longer labels do not fit on a phone.
_TOPS = (0.04, 0.08, 0.12, 0.2, 0.4, 0.6, 0.8)


def system_styles(summary: Summary) -> dict[str, str]:
    """A colour for every system, the same in all charts; those of the pipeline keep theirs."""
    ids = [system["id"] for system in summary["systems"]]
    return {"bm25": "bm25", "chance": "chance"} | {
        system: f"c{number % _COLOURS}" for number, system in enumerate(ids)
    }


def leaderboard(summary: Summary) -> Record:
    """Every answering system against every benchmark and setting, by the leading metric."""
    scores = {(r["benchmark"], r["setting"], r["system"]): r for r in summary["scores"]}
    places = [b for b in summary["benchmarks"] if _settings(summary, b["name"])]
    answering = [s for s in summary["systems"] if not s["ranks_only"]]
    rows = []
    for system in answering:
        cells = []
        for place in places:
            row = scores.get((place["name"], place["setting"], system["id"]))
            cells.append(row and row["metrics"].get(place["lead"]))
        rows.append({"system": system, "cells": cells})
    best = [
        max((row["cells"][i]["value"] for row in rows if row["cells"][i]), default=None)
        for i in range(len(places))
    ]
    return {"places": [{**p, "caption": caption(p, summary)} for p in places], "rows": rows,
            "best": best}  # fmt: skip


def rate_charts(summary: Summary, names: dict[str, str]) -> list[Record]:
    """The leading metric against the compression rate, where there is more than one rate."""
    rated = [s for s in summary["systems"] if s["rate"] is not None and not s["ranks_only"]]
    rates = sorted({system["rate"] for system in rated})
    if len(rates) < 2:
        return []
    scores = {(r["benchmark"], r["setting"], r["system"]): r for r in summary["scores"]}
    styles = system_styles(summary)
    families: dict[str, str] = {}  # with the colour of their first system
    for system in rated:
        families.setdefault(system["stage"] or "text", styles[system["id"]])
    charts = []
    for place in summary["benchmarks"]:
        lines = []
        for family, style in families.items():
            values: list[Record | None] = [None] * len(rates)
            for system in rated:
                row = scores.get((place["name"], place["setting"], system["id"]))
                if (system["stage"] or "text") == family and row:
                    values[rates.index(system["rate"])] = row["metrics"].get(place["lead"])
            label = "full text" if family == "text" else names.get(family, family)
            if any(values):
                lines.append(Line(label, values, style))
        title = f"{names.get(place['lead'], place['lead'])} by compression rate"
        labels = ["text" if rate == 1 else str(rate) for rate in rates]
        if lines:
            chart = line_chart(lines, labels, title, top=_top(lines))
            charts.append({"place": place, "chart": chart, "lines": lines,
                           "caption": caption(place, summary)})  # fmt: skip
    return charts


def benchmark_parts(summary: Summary, folder: Path, names: dict[str, str]) -> list[Record]:
    """One part a benchmark, in the order in which they were asked."""
    questions = {(b.name, b.pool): b for b in read_questions(folder)}
    found = list(dict.fromkeys(benchmark["name"] for benchmark in summary["benchmarks"]))
    return [_benchmark(name, summary, folder, names, questions) for name in found]


def _benchmark(
    name: str,
    summary: Summary,
    folder: Path,
    names: dict[str, str],
    questions: dict[tuple[str, str], Benchmark],
) -> Record:
    pools = [row for row in summary["benchmarks"] if row["name"] == name]
    pools.sort(key=lambda row: row["setting"] != "oracle")
    first = pools[0]
    by_setting = {pool["setting"]: pool for pool in pools}
    return {
        "id": name,
        "name": names.get(name, name),
        "pools": pools,
        "captions": [f"{pool['setting'].capitalize()}: {caption(pool, summary)}" for pool in pools],
        "first": first,
        "notes": [note["text"] for note in summary["notes"] if note["about"] == name],
        "cut": [row for row in summary["cut"] if row["benchmark"] == name],
        "settings": [
            _answers(first, setting, by_setting.get(setting, first), summary, names)
            for setting in _settings(summary, name)
        ],
        "retrieval": [
            part for pool in pools if (part := _retrieval(name, pool, summary, names)) is not None
        ],
        "comparisons": [row for row in summary["comparisons"] if row["benchmark"] == name],
        "disagreement": _disagreement(questions, by_setting, summary, folder),
    }


def _settings(summary: Summary, name: str) -> list[str]:
    rows = [row for row in summary["scores"] if row["benchmark"] == name]
    return list(dict.fromkeys(row["setting"] for row in rows))


def _answers(
    first: Record, setting: str, pool: Record, summary: Summary, names: dict[str, str]
) -> Record:
    """Answers in one setting: bars of the leading metric, main columns, all columns."""
    name, lead, styles = first["name"], first["lead"], system_styles(summary)
    rows = [r for r in summary["scores"] if (r["benchmark"], r["setting"]) == (name, setting)]
    there = {metric for row in rows for metric in row["metrics"]}
    groups = first["metrics"]
    wanted = (
        [lead, *groups["official"][:2], "clara.acc", "clara.acc_any"]
        if "official" in groups
        else list(groups["ours"])
    )
    main = [m for m in dict.fromkeys((*wanted, "judge.correct", "judge.faithful")) if m in there]
    ordered = [m for names_ in groups.values() for m in names_ if m in there]
    bars = [
        Bar(
            names[row["system"]], found["value"], found["low"], found["high"], styles[row["system"]]
        )
        for row in rows
        if (found := row["metrics"].get(lead))
    ]
    return {
        "name": setting,
        "words": setting_words(setting, ks_read(summary)),
        "caption": caption(pool, summary),
        "rows": rows,
        "chart": bar_chart(bars, f"{names.get(lead, lead)}, {setting}", top=_top_of(bars))
        if len(bars) >= _FEWEST_BARS
        else "",
        "lead": lead,
        "main": main,
        "more": [m for m in dict.fromkeys((*ordered, *sorted(there))) if m not in main],
        "groups": {
            group: own
            for group, members in groups.items()
            if (own := [metric for metric in members if metric in there])
        },
        "paper": _beside_paper("answers", name, setting, rows, _PAPER),
    }


def _retrieval(name: str, pool: Record, summary: Summary, names: dict[str, str]) -> Record | None:
    setting = pool["setting"]
    rows = [r for r in summary["retrieval"] if (r["benchmark"], r["setting"]) == (name, setting)]
    if not rows:
        return None
    styles = system_styles(summary)
    lines = [
        Line(names[row["system"]], [row["metrics"].get(m) for m in RECALLS], styles[row["system"]])
        for row in rows
    ]
    labels = [metric.removeprefix("recall@") for metric in RECALLS]
    return {
        "name": setting,
        "n": rows[0]["n"],
        "caption": caption(pool, summary),
        "chart": line_chart(lines, labels, f"Recall at 1, 3, 5 and 10, {setting}", spread=False),
        "lines": lines,
        "rows": rows,
        "paper": _beside_paper("retrieval", name, setting, rows, RECALLS[:3]),
    }


def _beside_paper(
    kind: str, benchmark: str, setting: str, rows: list[Record], metrics: tuple[str, ...]
) -> Record | None:
    """Ours and the paper's rows by the paper's metrics; None where it published none."""
    theirs = published_rows(kind, benchmark, setting)
    if not theirs:
        return None
    ours = [row for row in rows if any(metric in row["metrics"] for metric in metrics)]
    return {"metrics": metrics, "ours": ours, "theirs": theirs}


def _disagreement(
    questions: dict[tuple[str, str], Benchmark],
    pools: dict[str, Record],
    summary: Summary,
    folder: Path,
) -> Record | None:
    """Questions that divide the systems, from oracle, or normal where that is all there is."""
    setting = "oracle" if "oracle" in pools else next(iter(pools))
    benchmark = questions[(pools[setting]["name"], setting)]
    answers = {
        system["id"]: read_records(path)
        for system in summary["systems"]
        if not system["ranks_only"]
        and (path := prediction_path(folder, benchmark.name, setting, system["id"])).is_file()
    }
    if not answers:
        return None
    mixed, asked = count_disagreements(benchmark, answers)
    return {
        "setting": setting,
        "mixed": mixed,
        "asked": asked,
        "examples": choose_examples(benchmark, answers),
    }


def _top(lines: list[Line]) -> float:
    return _nice([value["high"] for line in lines for value in line.values if value])


def _top_of(bars: list[Bar]) -> float:
    return _nice([bar.high for bar in bars])


def _nice(values: list[float]) -> float:
    """The end of an axis: a round number not below any value, 1 for large ones."""
    highest = max(values, default=1.0)
    return next((top for top in _TOPS if highest <= top), 1.0)
