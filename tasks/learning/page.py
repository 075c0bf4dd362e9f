"""The page of a learning proof: Markdown from a template, and its figures, all from results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clara_model.training.metrics import read_metrics
from configs.learning import LearningConfig
from tasks.learning.figures import Curve, draw_curves
from tasks.learning.plan import Plan
from tasks.storage import Record, write_text

_POINTS = 40  # of a learning curve: each is a mean over so many equal parts of the steps


def write_page(
    path: Path, config: LearningConfig, summary: Record, curves: Record, command: str
) -> list[Path]:
    """Write the page and its figures, in a folder beside it that is named like it.

    Args:
        path: Of the Markdown file.
        config: What was run.
        summary: From `summarise`.
        curves: From `read_curves`.
        command: The one that makes this page again.

    Returns:
        The files written.
    """
    folder = path.with_suffix("")
    figures = {name: text for name, text in _figures(summary, curves).items() if text}
    for name, text in figures.items():
        write_text(folder / f"{name}.svg", text)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown, from our own numbers and configuration
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "interval": tell_interval, "seeds": tell_seeds, "met": tell_met, "settings": _tell_settings,
    }  # fmt: skip
    template = environment.get_template("learning.md.j2")
    places = {name: f"{folder.name}/{name}.svg" for name in figures}
    text = template.render(summary=summary, config=config, figures=places, command=command)
    write_text(path, text.rstrip() + "\n")
    return [path, *(folder / f"{name}.svg" for name in figures)]


def read_curves(config: LearningConfig, plan: Plan, root: Path) -> Record:
    """Training curves of the first seed: loss or Recall@1 by step, smoothed."""
    seed = config.seeds[0]
    trained = {job.name: job for job in plan.jobs.values() if job.kind != "score"}

    def curve(name: str, metric: str) -> list[tuple[float, float]]:
        if f"seed{seed}/{name}" not in trained:
            return []
        lines = read_metrics(root / f"seed{seed}" / name / "logs" / "metrics.jsonl")
        return smooth([(x["step"], x[metric]) for x in lines if x.get(metric) is not None])

    return {
        "reader": {"reader": curve("reader", "loss")},
        "stage1": {f"rate {r}": curve(f"stage1-r{r}", "lm_loss") for r in config.rates},
        "stage3": {
            "stage 3": curve("stage3", "recall_at_1"),
            "answers shuffled": curve("stage3-control", "recall_at_1"),
        },
    }


def smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means over at most 40 equal parts."""
    size = max(1, -(-len(points) // _POINTS))
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts
    ]


def tell_interval(interval: Record | None) -> str:
    """A value with its interval, or a dash."""
    if interval is None:
        return "–"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def tell_seeds(values: Iterable[float | None]) -> str:
    """The seeds' own values."""
    told = ["–" if value is None else f"{value:.3f}" for value in values]
    return ", ".join(told) or "–"


def tell_met(met: bool | None, interval: Record | None) -> str:
    """Whether a target is met, in words."""
    if interval is None:
        return "not run"
    return {True: "met", False: "**not met**", None: ""}[met]


def _tell_settings(values: dict[str, Any]) -> str:
    told = (f"`{key}` {json.dumps(value)}" for key, value in values.items())
    return ", ".join(told) or "–"


def _figures(summary: Record, curves: Record) -> dict[str, str]:
    """The text of each figure; empty where there is nothing to draw."""
    found = [row for row in summary["rates"] if row["interval"]]
    rates = Curve(
        "EM",
        [(row["rate"], row["interval"]["value"]) for row in found],
        [(row["interval"]["low"], row["interval"]["high"]) for row in found],
    )
    drawn = {"rates": ""}
    if found:
        drawn["rates"] = draw_curves(
            [rates], title="Stage 1: exact match by compression rate", x_label="compression rate",
            y_label="exact match", top=1.0, x_ticks=[row["rate"] for row in found],
        )  # fmt: skip
    titles = {
        "reader": ("Reader: loss while pretraining", "loss", None),
        "stage1": ("Stage 1: loss of the answers", "loss", None),
        "stage3": ("Stage 3: Recall@1 on the training questions", "Recall@1", 1.0),
    }
    for name, (title, y_label, top) in titles.items():
        lines = [Curve(label, points) for label, points in curves[name].items() if points]
        drawn[name] = draw_curves(
            lines, title=title, x_label="step", y_label=y_label, top=top
        ) if lines else ""  # fmt: skip
    return drawn
