"""The card in Markdown, for the Prefect page and for a repository."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tasks.data_card.gather import PURPOSES
from tasks.storage import Record

_SOURCES = 30
_REASONS = 15
_LENGTHS = ("what", "number", "min", "median", "mean", "p95", "max", "unit")


def card_markdown(card: Record) -> str:
    """The whole card as Markdown tables."""
    passages = card["passages"]
    parts = [
        "# Data card",
        "\n".join(f"- {note}" for note in card["notes"]),
        "## Rows",
        _table(("", *PURPOSES), [("rows", *card["rows"].values())]),
        *_by("Kind (questions, paraphrases)", "kind", card["kinds"]),
        *_by("Language (rows)", "language", card["languages"]),
        *_by("Source (rows)", "source", card["sources"]),
        "## Passages",
        _table(("side", "passages"), passages["sides"].items()),
        "## Lengths",
        _table(
            ("text", "number", "least", "median", "mean", "95 %", "most", "unit"),
            [[row[key] for key in _LENGTHS] for row in card["lengths"]],
        ),
        "## Coverage",
        _table(("what", "count"), [(key, card["coverage"][key]) for key in
               ("passages", "questions", "paraphrases", "facts", "covered")]),
        "Passages with a question, with a paraphrase; facts found in passages, and covered.",
        "## Set aside",
        _table(("step", "reason", "count"), [(r["step"], r["reason"], r["count"]) for r in
               card["rejects"][:_REASONS]]) if card["rejects"] else "Nothing was set aside.",
        "## Models",
        _spending(card["spending"]),
        "## Examples, drawn at random",
        *_examples(card["examples"]),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _by(title: str, name: str, counted: dict[str, dict[str, int]]) -> list[str]:
    rows = [(key, *counts.values()) for key, counts in counted.items()]
    more = [f"And {len(rows) - _SOURCES} more."] if len(rows) > _SOURCES else []
    return [f"### {title}", _table((name, *PURPOSES), rows[:_SOURCES]), *more]


def _spending(rows: list[Record]) -> str:
    if not rows:
        return "No requests were made."
    keys = ("section", "model", "requests", "prompt_tokens", "completion_tokens", "cost_usd")
    names = ("for", "model", "requests", "tokens in", "tokens out", "US dollars")
    return _table(names, [["" if row[key] is None else row[key] for key in keys] for row in rows])


def _examples(examples: dict[str, list[Record]]) -> list[str]:
    parts = []
    for kind, rows in examples.items():
        parts.append(f"### {kind}")
        for row in rows:
            lines = [f"`{row['id']}`, {row['purpose']}, {_line(row['source'])}"]
            if row["question"]:
                lines.append(f"**{_line(row['question'])}**")
            lines.append(_line(row["answer"]))
            lines += [f"> {_line(text)}" for text in row["gold_documents"]]
            parts.append("\n\n".join(lines))
    return parts


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _line(str(value)).replace("|", "\\|")


def _line(text: str) -> str:
    """One line that Markdown shows as it is."""
    text = " ".join(str(text).split())
    for sign in ("\\", "`", "*", "_", "<", "[", "#"):
        text = text.replace(sign, "\\" + sign)
    return text
