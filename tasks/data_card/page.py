"""The card as one self-contained page."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.data_card.charts import count_bars, histogram
from tasks.data_card.gather import PURPOSES
from tasks.storage import Record

_TEMPLATE = "card.html.j2"
_SOURCES = 20
_PURPOSES = {purpose: f"part-{number}" for number, purpose in enumerate(PURPOSES)}
_ASKED = {"with a question": "part-0", "without": "rest"}
_TITLES = {
    "simple_qa": "simple questions",
    "complex_qa": "complex questions",
    "joint_qa": "questions over two passages",
    "cross_lingual_qa": "cross-lingual questions",
    "unanswerable": "unanswerable questions",
    "paraphrase": "paraphrases",
}


def card_page(card: Record) -> str:
    """The page's HTML: styles and plots are inside, nothing is fetched."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sources = dict(list(card["sources"].items())[:_SOURCES])
    coverage = card["coverage"]
    return environment.get_template(_TEMPLATE).render(
        card=card,
        purposes=_PURPOSES,
        asked_parts=_ASKED,
        titles=_TITLES,
        kinds=count_bars(
            {_TITLES.get(kind, kind): counts for kind, counts in card["kinds"].items()},
            _PURPOSES, "questions by kind",
        ),
        languages=count_bars(card["languages"], _PURPOSES, "rows by language"),
        sources=count_bars(sources, _PURPOSES, "rows by source"),
        sources_left=len(card["sources"]) - len(sources),
        lengths=[row | {"chart": _lengths_chart(row)} for row in card["lengths"]],
        positions=_positions(card["gold_positions"]),
        covered=histogram(
            coverage["tenths"], [f"{10 * n} to {10 * n + 10} %" for n in range(10)],
            "passages by share of facts covered",
        ) if coverage["tenths"] else None,
        asked=_asked(coverage["by_source"]),
        rejects=_rejects(card["rejects"]),
        costs=[row["cost_usd"] for row in card["spending"]],
    )  # fmt: skip


def _lengths_chart(row: Record) -> str:
    bars = row["histogram"]
    starts = [bars["start"] + place * bars["width"] for place in range(len(bars["counts"]))]
    last = bars["width"] - 1
    labels = [f"{s} to {s + last} {row['unit']}" if last else f"{s} {row['unit']}" for s in starts]
    return histogram(bars["counts"], labels, f"lengths of {row['what']}")


def _positions(counted: dict[int | str, int]) -> Record | None:
    """Where golds stand among the candidates of stage 3; a shuffle leaves them even."""
    if not counted:
        return None
    last = max(int(place) for place in counted)
    counts = [counted.get(place, 0) for place in range(last + 1)]
    labels = [f"position {place}" for place in range(last + 1)]
    return {"chart": histogram(counts, labels, "positions of golds"), "last": last}


def _asked(by_source: Record) -> str:
    """Passages with and without a question by source, the least covered first."""
    parts = {
        name: {
            "with a question": counts["asked_about"],
            "without": counts["passages"] - counts["asked_about"],
        }
        for name, counts in by_source.items()
    }
    worst = sorted(parts, key=lambda name: (-parts[name]["without"], name))[:_SOURCES]
    return count_bars({name: parts[name] for name in worst}, _ASKED, "passages by source")


def _rejects(rows: list[Record]) -> list[Record]:
    """By step, the step with most first."""
    steps: dict[str, list[Record]] = {}
    for row in rows:
        steps.setdefault(row["step"], []).append(row)
    return [
        {
            "step": step,
            "count": sum(row["count"] for row in group),
            "chart": count_bars(
                {row["reason"]: {"items": row["count"]} for row in group[:8]}, {"items": "part-0"},
                f"reasons of {step}",
            ),
            "rows": group,
        }
        for step, group in steps.items()
    ]  # fmt: skip
