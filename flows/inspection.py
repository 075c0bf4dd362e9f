"""`clara inspect`: what a model makes of a question and its candidates, printed and as a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.load import load_config

if TYPE_CHECKING:
    from tasks.inspection.look import Looked


def inspect_question(
    question: str,
    config: Path,
    overrides: Sequence[str],
    *,
    model: str,
    documents: Sequence[Path],
    compare: str | None,
    out: Path | None,
    top_tokens: int,
    as_json: bool,
) -> None:
    """Look at a question and its candidates, write the page, print the summary.

    Args:
        question: The question.
        config: Configuration file.
        overrides: `section.key=value` settings.
        model: A stage of the workspace, or a checkpoint's folder.
        documents: Files and folders of candidates; none for the workspace's nearest passages.
        compare: Another model, whose map stands beside.
        out: The page; None for the workspace's `inspection` folder.
        top_tokens: Tokens shown of each memory slot.
        as_json: Print everything as JSON.
    """
    settings = load_config(config, overrides)
    from tasks.inspection.look import look_inside

    looked = look_inside(
        settings,
        question,
        model=model,
        documents=documents,
        compare=compare,
        out=out,
        top_tokens=top_tokens,
    )
    if not as_json:
        _print(looked)
        return
    value = asdict(looked.found) | {
        "sources": [document.source for document in looked.documents],
        "maps": {name: asdict(own) for name, own in looked.maps.items()},
        "page": str(looked.page),
    }
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def _print(looked: Looked) -> None:
    from tasks.inspection.page import shorten

    console, found = Console(), looked.found
    console.print(f"[bold]{escape(found.answer or '(no answer)')}[/]")
    lens = Table("slot", "likeliest tokens", title="question", title_justify="left")
    for number, slot in enumerate(found.question_lens):
        lens.add_row(str(number), escape("  ".join(repr(token.text) for token in slot)))
    console.print(lens)
    table = Table(
        "rank", "score", "read", "document", "memory says",
        title=f"candidates, ranked by the {found.ranked_by}", title_justify="left",
    )  # fmt: skip
    pairs = zip(found.candidates, looked.documents, strict=True)
    for candidate, document in sorted(pairs, key=lambda pair: pair[0].rank):
        best = " ".join(repr(slot[0].text) for slot in candidate.lens)
        words = f"{document.source}: {shorten(candidate.text)}" if document.source else ""
        table.add_row(
            str(candidate.rank), f"{candidate.score:.4f}", "yes" if candidate.chosen else "",
            escape(words or shorten(candidate.text)), escape(best),
        )  # fmt: skip
    console.print(table)
    for name, own in looked.maps.items():
        console.print(
            f"{escape(name)}: MSE term {own.mse:.4g} (weight {own.mse_weight:g}); centres of "
            f"documents and memories {own.gap:.2f} spreads apart", highlight=False,
        )  # fmt: skip
    console.print(looked.page.resolve().as_uri(), highlight=False, soft_wrap=True)
